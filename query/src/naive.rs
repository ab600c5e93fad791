//! A plan run over rows in memory, in the slowest and most obvious way: the oracle that stores are compared with.
//!
//! Rules that a store must keep, beside those of [`crate::holds`]:
//!
//! 1. A row counts when project and collection are the plan's, its `keen.timestamp` is in a bucket (start inclusive,
//!    end exclusive) and the filter holds.
//! 2. `keen.id`, `keen.timestamp` and `keen.created_at` are texts made from the row ([`property`]).
//! 3. A group is the values of `group_by` in their one spelling ([`crate::canonical`]: `1.0` is `1`); a missing
//!    property is `Null`; a list is one value, its text. A group has a line in each bucket in which it has a row.
//! 4. `count`: rows.
//! 5. `count_unique`: distinct values in their one spelling; a list counts as its elements (one level, objects among
//!    them by their JSON text); null and missing don't count. Texts are told apart by their characters, also times.
//! 6. `sum`, `average`: of `Int` and `Float` only; anything else is as if it were missing. Integers are added exactly;
//!    the sum is an `Int` if every number was one and it fits 64 bits, else a `Float` held within the finite ones.
//!    Average is always a `Float`. No number: `Null`.
//! 7. `minimum`, `maximum`: of `Int` and `Float`, in one spelling; when there is none, of texts that are full ISO 8601
//!    date-times ([`crate::instant_of`]), as instants, printed as `Timestamp` does; else `Null`.
//! 8. One group more than `groups_max`, through all buckets, stops the query; so does one distinct value more than
//!    `unique_values_max`, added up over all buckets and groups.
//! 9. `events_scanned`: rows of the collection in the timeframe, before the filter. A store may count otherwise.
//!
//! Floats are added in the order of rows; a store that adds in another order differs in the last digits.

use std::borrow::Cow;
use std::cmp::Ordering;

use protocol::query::Analysis;
use protocol::row::{Cell, Row};
use protocol::{ErrorCode, PropertyPath, Refusal};
use serde_json::Value;

use crate::matches;
use crate::plan::{Line, Output, Plan};
use crate::value::{canonical, compare_numbers, from_json, instant_of, list};

/// Runs `plan` over `rows`, in any order. Costs at least rows × buckets.
///
/// # Errors
/// `TooManyGroups` beyond a limit of the plan.
pub fn run(plan: &Plan, rows: &[Row]) -> Result<Output, Refusal> {
    let mut output = Output::default();
    let mut groups: Vec<Vec<Cell>> = Vec::new();
    let mut found: Vec<(usize, usize, Vec<Cell>)> = Vec::new();
    for row in rows.iter().filter(|row| row.project == plan.project && row.collection == plan.collection) {
        let within = |at: protocol::Timestamp| plan.buckets.iter().position(|span| span.start <= at && at < span.end);
        let Some(bucket) = within(row.timestamp) else { continue };
        output.events_scanned += 1;
        if !matches(&plan.filter, &|path| property(row, path)) {
            continue;
        }
        let value = |path| property(row, path).map_or(Cell::Null, Cow::into_owned);
        let group: Vec<Cell> = plan.group_by.iter().map(|path| canonical(value(path))).collect();
        let group = groups.iter().position(|known| *known == group).unwrap_or_else(|| {
            groups.push(group);
            groups.len() - 1
        });
        if groups.len() > plan.groups_max {
            return Err(too_many("group_by", "groups", plan.groups_max));
        }
        // The target's value, or for count anything: it is only counted.
        let target = plan.target.as_ref().map_or(Cell::Null, value);
        match found.iter_mut().find(|(in_bucket, in_group, _)| (*in_bucket, *in_group) == (bucket, group)) {
            Some((_, _, values)) => values.push(target),
            None => found.push((bucket, group, vec![target])),
        }
    }
    let mut unique_values = 0;
    for (bucket, group, values) in found {
        let value = match plan.analysis {
            Analysis::Count => Cell::Int(count(values.len())),
            Analysis::CountUnique => {
                let distinct = distinct(&values);
                unique_values += distinct;
                Cell::Int(count(distinct))
            }
            Analysis::Sum => sum(&values),
            Analysis::Average => average(&values),
            Analysis::Minimum => extreme(&values, Ordering::Less),
            Analysis::Maximum => extreme(&values, Ordering::Greater),
        };
        let group = groups.get(group).cloned().unwrap_or_default();
        output.lines.push(Line { bucket, group, value });
    }
    if unique_values > plan.unique_values_max {
        return Err(too_many("count_unique", "distinct values", plan.unique_values_max));
    }
    Ok(output)
}

/// A property of a row, those that the row itself carries among them.
#[must_use]
pub fn property<'row>(row: &'row Row, path: &PropertyPath) -> Option<Cow<'row, Cell>> {
    match path.as_str() {
        "keen.id" => Some(Cow::Owned(Cell::Text(row.id.to_string()))),
        "keen.timestamp" => Some(Cow::Owned(Cell::Text(row.timestamp.to_string()))),
        "keen.created_at" => Some(Cow::Owned(Cell::Text(row.created_at.to_string()))),
        _ => row.cells.iter().find(|(known, _)| known == path).map(|(_, cell)| Cow::Borrowed(cell)),
    }
}

fn too_many(what: &str, of_what: &str, max: usize) -> Refusal {
    Refusal::new(ErrorCode::TooManyGroups, format!("{what} found more than {max} {of_what}, the limit"))
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn distinct(values: &[Cell]) -> usize {
    let mut seen: Vec<Cell> = Vec::new();
    let single = values.iter().flat_map(|value| match value {
        Cell::List(text) => match list(text) {
            // An object has no cell; its text stands for it.
            Some(Value::Array(elements)) => {
                elements.iter().map(|one| from_json(one).unwrap_or_else(|| Cell::List(one.to_string()))).collect()
            }
            _ => vec![value.clone()],
        },
        other => vec![other.clone()],
    });
    for value in single.map(canonical).filter(|value| *value != Cell::Null) {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen.len()
}

fn sum(values: &[Cell]) -> Cell {
    let (whole, broken) = totals(values);
    match (whole, broken) {
        (None, None) => Cell::Null,
        (Some(whole), None) => i64::try_from(whole).map_or_else(|_| Cell::Float(whole as f64), Cell::Int),
        (whole, Some(broken)) => Cell::Float(finite(whole.unwrap_or(0) as f64 + broken)),
    }
}

fn average(values: &[Cell]) -> Cell {
    let numbers = values.iter().filter(|value| matches!(value, Cell::Int(_) | Cell::Float(_))).count();
    let (whole, broken) = totals(values);
    if numbers == 0 {
        return Cell::Null;
    }
    Cell::Float(finite(whole.unwrap_or(0) as f64 + broken.unwrap_or(0.0)) / numbers as f64)
}

/// The exact sum of the integers and the sum of the floats; none where there is none.
fn totals(values: &[Cell]) -> (Option<i128>, Option<f64>) {
    let (mut whole, mut broken) = (None, None);
    for value in values {
        match value {
            Cell::Int(int) => whole = Some(whole.unwrap_or(0) + i128::from(*int)),
            Cell::Float(float) => broken = Some(finite(broken.unwrap_or(0.0) + float)),
            _ => {}
        }
    }
    (whole, broken)
}

fn finite(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}

/// The value that compares as `wanted` with all others.
fn extreme(values: &[Cell], wanted: Ordering) -> Cell {
    let beats = |new: &Cell, best: &Cell| compare_numbers(new, best) == Some(wanted);
    let numbers = values.iter().filter(|value| matches!(value, Cell::Int(_) | Cell::Float(_)));
    if let Some(best) = numbers.reduce(|best, new| if beats(new, best) { new } else { best }) {
        return canonical(best.clone());
    }
    let times = values.iter().filter_map(|value| if let Cell::Text(text) = value { instant_of(text) } else { None });
    let best = times.reduce(|best, new| if new.cmp(&best) == wanted { new } else { best });
    best.map_or(Cell::Null, |at| Cell::Text(at.to_string()))
}
