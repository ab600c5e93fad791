//! What a single value is: from JSON, to JSON, its identity, its order.
//!
//! Separate because filters, groups, distinct values and answers must agree on it: `1` and `1.0` are one value
//! everywhere. It knows nothing of rows, plans or time zones.

use std::cmp::Ordering;

use protocol::row::Cell;
use protocol::{Timestamp, time};
use serde_json::Value;

/// 2^63, the first whole number that doesn't fit.
const INT_END: f64 = 9_223_372_036_854_775_808.0;

/// A filter's value or a list's element as a cell; none for an object, which never is one.
///
/// Whole numbers beyond 64 bits are kept as the text of their digits, as they are when an event is stored.
pub(crate) fn from_json(value: &Value) -> Option<Cell> {
    Some(match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), _, _) => Cell::Int(int),
            (None, Some(large), _) => Cell::Text(large.to_string()),
            (None, None, float) => Cell::Float(float.filter(|float| float.is_finite())?),
        },
        Value::String(text) => Cell::Text(text.clone()),
        Value::Array(_) => Cell::List(value.to_string()),
        Value::Object(_) => return None,
    })
}

/// A cell as an answer shows it: a float that is a whole number without a fraction, while it is exact.
pub(crate) fn to_json(cell: &Cell) -> Value {
    const EXACT_END: f64 = 9_007_199_254_740_992.0;
    match cell {
        Cell::Float(value) if value.fract() == 0.0 && value.abs() < EXACT_END => Value::from(truncated(*value)),
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::from(*value),
        Cell::Int(value) => Value::from(*value),
        Cell::Float(value) => Value::from(*value),
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::List(text) => list(text).unwrap_or_else(|| Value::from(text.as_str())),
    }
}

/// A list's JSON; none when the text isn't JSON, which a stored cell never is.
pub(crate) fn list(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// The elements of a list as cells; objects among them and an empty object's `{}` give none.
pub(crate) fn elements(text: &str) -> Vec<Cell> {
    match list(text) {
        Some(Value::Array(elements)) => elements.iter().filter_map(from_json).collect(),
        _ => Vec::new(),
    }
}

/// The one spelling of a value that groups and distinct values are told apart by: a whole float that fits 64 bits
/// becomes the integer, everything else stays. Equal values then are equal cells.
#[must_use]
pub fn canonical(cell: Cell) -> Cell {
    match cell {
        Cell::Float(float) if float.fract() == 0.0 => truncated(float).map_or(Cell::Float(float), Cell::Int),
        other => other,
    }
}

/// The instant a text names if it is a full ISO 8601 date-time: a date alone is not, no zone means UTC.
#[must_use]
pub fn instant_of(text: &str) -> Option<Timestamp> {
    const DATE_CHARS: usize = 10;
    // Most texts are no times; the cheap look spares them the parser.
    let dated = text.len() > DATE_CHARS && text.as_bytes().get(4) == Some(&b'-');
    if dated { time::parse_with_zone(text).ok().map(|(at, _)| at) } else { None }
}

/// Compares two numbers exactly, whatever their types; none when one is no number.
pub(crate) fn compare_numbers(left: &Cell, right: &Cell) -> Option<Ordering> {
    match (left, right) {
        (Cell::Int(left), Cell::Int(right)) => Some(left.cmp(right)),
        (Cell::Float(left), Cell::Float(right)) => left.partial_cmp(right),
        (Cell::Int(left), Cell::Float(right)) => int_float(*left, *right),
        (Cell::Float(left), Cell::Int(right)) => int_float(*right, *left).map(Ordering::reverse),
        _ => None,
    }
}

/// The order of group values in an answer: false, true, numbers, texts by code point, lists by their text, null last.
pub(crate) fn order(left: &Cell, right: &Cell) -> Ordering {
    let rank = |cell: &Cell| match cell {
        Cell::Bool(_) => 0,
        Cell::Int(_) | Cell::Float(_) => 1,
        Cell::Text(_) => 2,
        Cell::List(_) => 3,
        Cell::Null => 4,
    };
    match (left, right) {
        (Cell::Bool(left), Cell::Bool(right)) => left.cmp(right),
        (Cell::Text(left), Cell::Text(right)) | (Cell::List(left), Cell::List(right)) => left.cmp(right),
        _ => compare_numbers(left, right).unwrap_or_else(|| rank(left).cmp(&rank(right))),
    }
}

/// Compares without turning the integer into a float, which would lose digits beyond 2^53.
fn int_float(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    Some(match truncated(float) {
        Some(whole) => int.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0))),
        None if float > 0.0 => Ordering::Less,
        None => Ordering::Greater,
    })
}

/// The whole part of a float, if it fits.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked and cutting the fraction is what is asked")]
fn truncated(float: f64) -> Option<i64> {
    (-INT_END..INT_END).contains(&float).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_and_broken_numbers_compare_exactly() {
        for (int, float, expected) in [
            (1, 1.0, Ordering::Equal),
            (0, -0.0, Ordering::Equal),
            (1, 1.5, Ordering::Less),
            (-1, -1.5, Ordering::Greater),
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Ordering::Greater),
            (i64::MAX, 9_223_372_036_854_775_807.0, Ordering::Less), // the float is 2^63
            (i64::MIN, -9_223_372_036_854_775_808.0, Ordering::Equal),
            (i64::MAX, 1e300, Ordering::Less),
            (i64::MIN, -1e300, Ordering::Greater),
        ] {
            assert_eq!(compare_numbers(&Cell::Int(int), &Cell::Float(float)), Some(expected), "{int} and {float}");
            assert_eq!(compare_numbers(&Cell::Float(float), &Cell::Int(int)), Some(expected.reverse()), "{float}");
        }
    }

    #[test]
    fn equal_numbers_have_one_spelling() {
        for (cell, expected) in [
            (Cell::Float(1.0), Cell::Int(1)),
            (Cell::Float(-0.0), Cell::Int(0)),
            (Cell::Float(1.5), Cell::Float(1.5)),
            (Cell::Float(1e300), Cell::Float(1e300)),
            (Cell::Text("1.0".into()), Cell::Text("1.0".into())),
        ] {
            assert_eq!(canonical(cell.clone()), expected, "{cell:?}");
        }
    }

    #[test]
    fn only_a_full_date_time_is_an_instant() {
        for (text, instant) in [
            ("2020-01-02T03:04:05Z", true),
            ("2020-01-02T03:04:05.678+01:00", true),
            ("2020-01-02T03:04:05", true),
            ("2020-01-02", false),
            ("2020-01-02T", false),
            ("2020-01-0éé", false),
            ("4111-1111-1111-1111", false),
        ] {
            assert_eq!(instant_of(text).is_some(), instant, "{text:?}");
        }
    }

    fn cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::Null),
            any::<bool>().prop_map(Cell::Bool),
            any::<i64>().prop_map(Cell::Int),
            (-3_i64..3).prop_map(Cell::Int),
            (-6_i32..6).prop_map(|halves| Cell::Float(f64::from(halves) / 2.0)),
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Cell::Float),
            "[a-c]{0,2}".prop_map(Cell::Text),
            "\\[[0-9]\\]".prop_map(Cell::List),
        ]
    }

    proptest! {
        #[test]
        fn the_order_of_values_is_a_total_order(a in cell(), b in cell(), c in cell()) {
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            if order(&a, &b) != Ordering::Greater && order(&b, &c) != Ordering::Greater {
                prop_assert_ne!(order(&a, &c), Ordering::Greater, "{:?} {:?} {:?}", a, b, c);
            }
        }

        #[test]
        fn values_are_equal_in_order_when_their_one_spelling_is(a in cell(), b in cell()) {
            prop_assert_eq!(order(&a, &b) == Ordering::Equal, canonical(a) == canonical(b));
        }
    }
}
