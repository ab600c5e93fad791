//! What a test means: the one place that says whether a property's value passes.
//!
//! The rules are the table of Keen's filters with its corners: a missing property, a null, a list, another type. Kept
//! apart from parsing because stores ask it too, once per distinct value. It must not know where a value comes from.

use std::borrow::Cow;
use std::cmp::Ordering;

use protocol::PropertyPath;
use protocol::row::Cell;
use serde_json::Value;

use crate::plan::{Predicate, Test};
use crate::value::{compare_numbers, elements, from_json, instant_of, list};

/// Whether a property with this value passes; none when the event lacks the property.
///
/// | test | passes when | missing | null |
/// |---|---|---|---|
/// | `Equals` | equal and of the same JSON type, or an element of a list is | only for null | only for null |
/// | `Less` … `GreaterOrEqual` | a number of a number, a text of a text | no | no |
/// | `Exists` | the property is there | no | yes |
/// | `In` | `Equals` for one of them | if one is null | if one is null |
/// | `Contains` | a text has the substring, case counts; a list has the element | no | no |
///
/// Numbers compare exactly whatever their spelling (`1` equals `1.0`). Two texts that are full ISO 8601 date-times
/// compare as instants, any other two by code point.
///
/// Values of another type than the test's never pass. `ne`, `not_contains` and `exists: false` are
/// [`Predicate::Not`] of these, so they pass where the test doesn't: also for a missing property.
#[must_use]
pub fn holds(test: &Test, value: Option<&Cell>) -> bool {
    match test {
        Test::Equals(wanted) => equals(value, wanted),
        Test::In(wanted) => wanted.iter().any(|wanted| equals(value, wanted)),
        Test::Exists => value.is_some(),
        Test::Less(bound) => compare(value, bound).is_some_and(Ordering::is_lt),
        Test::LessOrEqual(bound) => compare(value, bound).is_some_and(Ordering::is_le),
        Test::Greater(bound) => compare(value, bound).is_some_and(Ordering::is_gt),
        Test::GreaterOrEqual(bound) => compare(value, bound).is_some_and(Ordering::is_ge),
        Test::Contains(part) => contains(value, part),
    }
}

/// Whether a row for which `lookup` gives the properties passes.
#[must_use]
pub fn matches<'a>(predicate: &Predicate, lookup: &dyn Fn(&PropertyPath) -> Option<Cow<'a, Cell>>) -> bool {
    match predicate {
        Predicate::All(all) => all.iter().all(|one| matches(one, lookup)),
        Predicate::Any(any) => any.iter().any(|one| matches(one, lookup)),
        Predicate::Not(other) => !matches(other, lookup),
        Predicate::Test { path, test } => holds(test, lookup(path).as_deref()),
    }
}

fn equals(value: Option<&Cell>, wanted: &Cell) -> bool {
    match value {
        None => *wanted == Cell::Null,
        Some(Cell::List(text)) => same_list(text, wanted) || elements(text).iter().any(|element| same(element, wanted)),
        Some(value) => same(value, wanted),
    }
}

/// Equality of two values, a list being one value.
fn same(left: &Cell, right: &Cell) -> bool {
    match (left, right) {
        (Cell::Null, Cell::Null) => true,
        (Cell::Bool(left), Cell::Bool(right)) => left == right,
        (Cell::Text(left), Cell::Text(right)) => compare_texts(left, right).is_eq(),
        (Cell::List(left), right) => same_list(left, right),
        _ => compare_numbers(left, right) == Some(Ordering::Equal),
    }
}

/// Whether a list is, as a whole, the wanted list.
fn same_list(left: &str, right: &Cell) -> bool {
    let Cell::List(right) = right else { return false };
    left == right || list(left).zip(list(right)).is_some_and(|(left, right)| same_json(&left, &right))
}

/// Equality inside lists, where objects may stand.
fn same_json(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_json(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| same_json(left, right)))
        }
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => false,
        _ => from_json(left).zip(from_json(right)).is_some_and(|(left, right)| same(&left, &right)),
    }
}

/// The order of a value and a bound; none when they can't be ordered.
fn compare(value: Option<&Cell>, bound: &Cell) -> Option<Ordering> {
    match (value?, bound) {
        (Cell::Text(value), Cell::Text(bound)) => Some(compare_texts(value, bound)),
        (value, bound) => compare_numbers(value, bound),
    }
}

/// Date-times as instants, other texts by code point (which is the order of their UTF-8 bytes).
fn compare_texts(left: &str, right: &str) -> Ordering {
    match (instant_of(left), instant_of(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

fn contains(value: Option<&Cell>, part: &Cell) -> bool {
    match (value, part) {
        (Some(Cell::Text(text)), Cell::Text(part)) => text.contains(part.as_str()),
        (Some(Cell::List(text)), part) => elements(text).iter().any(|element| same(element, part)),
        _ => false,
    }
}
