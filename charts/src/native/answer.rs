//! Reads a query's `result` in Keen's JSON shapes into columns of numbers.
//!
//! The browser does the same in `npm/charts/src/answer.ts`; the files in `charts/tests/answers/` hold both to the same
//! reading. Nothing here decides how anything looks.

use protocol::Timestamp;
use serde_json::{Map, Value};

use super::ChartError;
use crate::scene::{Axis, Input, Series};

/// Most values that are read; more than anyone can see, and few enough for a request.
pub(super) const VALUES_MAX: usize = 2_000_000;

/// Most series into which a second group is split; with more, groups are named by both values.
const SPLIT_MAX: usize = 8;

/// Name of a group without a value.
const NONE: &str = "(none)";

/// Reads a result.
pub(super) fn read(result: &Value) -> Result<Input, ChartError> {
    let input = match result {
        Value::Number(_) | Value::Null => one(number(result)),
        Value::Object(labels) => labelled(labels)?,
        Value::Array(entries) if entries.first().is_some_and(|first| first.get("timeframe").is_some()) => {
            buckets(entries)?
        }
        Value::Array(entries) => groups(entries)?,
        _ => return Err(ChartError::Shape),
    };
    if input.axis.len().saturating_mul(input.series.len()) > VALUES_MAX {
        return Err(ChartError::TooLarge { limit: VALUES_MAX });
    }
    Ok(input)
}

fn one(value: f64) -> Input {
    Input { axis: Axis::None, series: vec![Series { name: String::new(), values: vec![value] }] }
}

/// A number; not-a-number for null and for whatever else.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Whether a value is one that an analysis gives: a number, or null for none.
fn is_number(value: &Value) -> bool {
    value.is_number() || value.is_null()
}

/// Several analyses at once: one place for each.
fn labelled(labels: &Map<String, Value>) -> Result<Input, ChartError> {
    if !labels.values().all(is_number) {
        return Err(ChartError::Shape);
    }
    let values = labels.values().map(number).collect();
    Ok(Input {
        axis: Axis::Categories(labels.keys().cloned().collect()),
        series: vec![Series { name: String::new(), values }],
    })
}

/// Text for the value of a group.
fn name(value: &Value) -> String {
    match value {
        Value::Null => NONE.to_owned(),
        Value::String(text) => text.clone(),
        // As JavaScript writes them, which has one kind of number.
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Rows of groups: every key but `result` is a grouped property.
fn groups(rows: &[Value]) -> Result<Input, ChartError> {
    let mut named: Vec<(Vec<String>, f64)> = Vec::with_capacity(rows.len());
    for row in rows {
        let row = row.as_object().ok_or(ChartError::Shape)?;
        let value = row.get("result").filter(|value| is_number(value)).ok_or(ChartError::Shape)?;
        named.push((
            row.iter().filter(|(key, _)| *key != "result").map(|(_, part)| name(part)).collect(),
            number(value),
        ));
    }
    if let Some(split) = split(&named) {
        return Ok(split);
    }
    Ok(Input {
        axis: Axis::Categories(named.iter().map(|(parts, _)| parts.join(", ")).collect()),
        series: vec![Series { name: String::new(), values: named.iter().map(|(_, value)| *value).collect() }],
    })
}

/// Two groups as bars side by side: places by the first, series by the second; none when that would be too many.
fn split(named: &[(Vec<String>, f64)]) -> Option<Input> {
    let mut places = Names::default();
    let mut series = Names::default();
    let mut cells = Vec::with_capacity(named.len());
    for (parts, value) in named {
        let [first, second] = parts.as_slice() else { return None };
        cells.push((places.index(first), series.index(second), *value));
        if series.order.len() > SPLIT_MAX {
            return None;
        }
    }
    if cells.is_empty() {
        return None;
    }
    let columns = fill(places.order.len(), series.order.len(), cells);
    Some(Input {
        axis: Axis::Categories(places.order),
        series: series.order.into_iter().zip(columns).map(|(name, values)| Series { name, values }).collect(),
    })
}

/// Buckets of time, each with a value, a row per group, or a value per label.
fn buckets(entries: &[Value]) -> Result<Input, ChartError> {
    let mut starts_ms = Vec::with_capacity(entries.len());
    let mut end_ms = f64::NAN;
    let mut series = Names::default();
    let mut cells = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let timeframe = entry.get("timeframe").ok_or(ChartError::Shape)?;
        starts_ms.push(instant(timeframe.get("start"))?);
        end_ms = instant(timeframe.get("end"))?;
        match entry.get("value").ok_or(ChartError::Shape)? {
            Value::Array(rows) => {
                for row in rows {
                    let row = row.as_object().ok_or(ChartError::Shape)?;
                    let value = row.get("result").filter(|value| is_number(value)).ok_or(ChartError::Shape)?;
                    let parts: Vec<String> =
                        row.iter().filter(|(key, _)| *key != "result").map(|(_, part)| name(part)).collect();
                    cells.push((place, series.index(&parts.join(", ")), number(value)));
                }
            }
            Value::Object(labels) => {
                for (label, value) in labels {
                    cells.push((place, series.index(label), number(value)));
                }
            }
            value if is_number(value) => cells.push((place, series.index(""), number(value))),
            _ => return Err(ChartError::Shape),
        }
        if entries.len().saturating_mul(series.order.len()) > VALUES_MAX {
            return Err(ChartError::TooLarge { limit: VALUES_MAX });
        }
    }
    let columns = fill(starts_ms.len(), series.order.len(), cells);
    Ok(Input {
        axis: Axis::Time { starts_ms, end_ms },
        series: series.order.into_iter().zip(columns).map(|(name, values)| Series { name, values }).collect(),
    })
}

fn instant(value: Option<&Value>) -> Result<f64, ChartError> {
    let text = value.and_then(Value::as_str).ok_or(ChartError::Shape)?;
    Ok(text.parse::<Timestamp>().map_err(|_| ChartError::Shape)?.millis() as f64)
}

/// Columns of values from (place, series, value); not-a-number where there is none.
fn fill(places: usize, series: usize, cells: Vec<(usize, usize, f64)>) -> Vec<Vec<f64>> {
    let mut columns = vec![vec![f64::NAN; places]; series];
    for (place, series, value) in cells {
        if let Some(cell) = columns.get_mut(series).and_then(|column| column.get_mut(place)) {
            *cell = value;
        }
    }
    columns
}

/// Names in the order in which they were first seen.
#[derive(Default)]
struct Names {
    order: Vec<String>,
    known: std::collections::HashMap<String, usize>,
}

impl Names {
    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.known.get(name) {
            return *index;
        }
        self.order.push(name.to_owned());
        self.known.insert(name.to_owned(), self.order.len() - 1);
        self.order.len() - 1
    }
}
