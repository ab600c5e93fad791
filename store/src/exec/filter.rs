//! Filters: which rows of a batch count.
//!
//! `query::holds` alone says what a test means. It is asked once for each entry of a dictionary, and for the orders of
//! numbers and times a few dozen times to find by halving where it changes; the rows are then compared with what was
//! found.

use std::ops::Range;
use std::sync::Arc;

use protocol::Timestamp;
use protocol::row::Cell;
use query::holds;
use query::plan::{Predicate, Test};

use super::view::{Part, View, id_cell, time_cell};
use crate::column::{Coded, Column, index};
use crate::error::StoreError;
use crate::merge::Source;

/// A filter, prepared for one source.
pub(super) struct Filter(Node);

enum Node {
    Always,
    Never,
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Test(Tested),
}

/// A test on one property of one source.
struct Tested {
    /// Whether it holds for rows without a value.
    missing: bool,
    parts: Vec<TestedPart>,
}

enum TestedPart {
    /// Whether it holds for each entry.
    Table(Part, Vec<bool>),
    /// It holds for the numbers from the first to the second.
    IntsFrom(Arc<Column>, Option<(i64, i64)>),
    /// Likewise.
    FloatsFrom(Arc<Column>, Option<(f64, f64)>),
    /// Nothing is known ahead: each row is asked.
    Each(Arc<Column>, Test),
}

impl Filter {
    /// Prepares; reads the columns that the filter names.
    pub(super) fn new(predicate: &Predicate, source: &Source) -> Result<Self, StoreError> {
        Ok(Self(Node::new(predicate, source)?))
    }

    /// Whether no row of the source can count.
    pub(super) fn never(&self) -> bool {
        matches!(self.0, Node::Never)
    }

    /// Writes the mask of a batch; false when all rows count, and then nothing is written.
    pub(super) fn mask(&self, rows: &Range<usize>, mask: &mut Vec<bool>) -> bool {
        if matches!(self.0, Node::Always) {
            return false;
        }
        self.0.mask(rows, mask);
        true
    }
}

impl Node {
    fn new(predicate: &Predicate, source: &Source) -> Result<Self, StoreError> {
        Ok(match predicate {
            Predicate::All(all) => {
                let mut nodes = Vec::new();
                for one in all {
                    match Self::new(one, source)? {
                        Self::Always => {}
                        Self::Never => return Ok(Self::Never),
                        other => nodes.push(other),
                    }
                }
                if nodes.is_empty() { Self::Always } else { Self::All(nodes) }
            }
            Predicate::Any(any) => {
                let mut nodes = Vec::new();
                for one in any {
                    match Self::new(one, source)? {
                        Self::Never => {}
                        Self::Always => return Ok(Self::Always),
                        other => nodes.push(other),
                    }
                }
                if nodes.is_empty() { Self::Never } else { Self::Any(nodes) }
            }
            Predicate::Not(other) => match Self::new(other, source)? {
                Self::Always => Self::Never,
                Self::Never => Self::Always,
                other => Self::Not(Box::new(other)),
            },
            Predicate::Test { path, test } => {
                let missing = holds(test, None);
                let parts = View::new(source, path)?.parts;
                let parts: Vec<TestedPart> = parts.into_iter().map(|part| TestedPart::new(part, test)).collect();
                if parts.iter().all(|part| part.is_always(missing)) {
                    if missing { Self::Always } else { Self::Never }
                } else {
                    Self::Test(Tested { missing, parts })
                }
            }
        })
    }

    fn mask(&self, rows: &Range<usize>, mask: &mut Vec<bool>) {
        match self {
            Self::Always | Self::Never => {
                mask.clear();
                mask.resize(rows.len(), matches!(self, Self::Always));
            }
            Self::All(nodes) => combine(nodes, rows, mask, true, |left, right| left & right),
            Self::Any(nodes) => combine(nodes, rows, mask, false, |left, right| left | right),
            Self::Not(other) => {
                other.mask(rows, mask);
                mask.iter_mut().for_each(|holds| *holds = !*holds);
            }
            Self::Test(tested) => {
                mask.clear();
                mask.resize(rows.len(), tested.missing);
                for part in &tested.parts {
                    part.mask(rows, mask);
                }
            }
        }
    }
}

fn combine(nodes: &[Node], rows: &Range<usize>, mask: &mut Vec<bool>, start: bool, with: fn(bool, bool) -> bool) {
    let mut nodes = nodes.iter();
    match nodes.next() {
        Some(first) => first.mask(rows, mask),
        None => {
            mask.clear();
            mask.resize(rows.len(), start);
        }
    }
    let mut other = Vec::new();
    for node in nodes {
        node.mask(rows, &mut other);
        mask.iter_mut().zip(&other).for_each(|(left, right)| *left = with(*left, *right));
    }
}

impl TestedPart {
    fn new(part: Part, test: &Test) -> Self {
        let (name, column) = match part {
            made @ Part::Made(_) => return Self::table(made, test),
            Part::Column(name, column) => (name, column),
        };
        match column.as_ref() {
            Column::Coded(_) => Self::table(Part::Column(name, column), test),
            Column::Ints(_) => match order_of(test) {
                Some(order) => {
                    let bounds = bounds(order, i64::MIN, i64::MAX, &|value| holds(test, Some(&Cell::Int(value))));
                    Self::IntsFrom(column, bounds)
                }
                None => Self::Each(column, test.clone()),
            },
            Column::Times(_) => match order_of(test) {
                Some(order) => {
                    let (min, max) = (Timestamp::MIN.millis(), Timestamp::MAX.millis());
                    let bounds = bounds(order, min, max, &|value| holds(test, Some(&time_cell(value))));
                    Self::IntsFrom(column, bounds)
                }
                None => Self::Each(column, test.clone()),
            },
            Column::Floats(_) => match order_of(test) {
                Some(order) => {
                    let (min, max) = (key_of(f64::MIN), key_of(f64::MAX));
                    let holds = |key| holds(test, Some(&Cell::Float(float_of(key))));
                    let bounds = bounds(order, min, max, &holds);
                    Self::FloatsFrom(column, bounds.map(|(low, high)| (float_of(low), float_of(high))))
                }
                None => Self::Each(column, test.clone()),
            },
            Column::Ids(_) | Column::Residual(_) => Self::Each(column, test.clone()),
        }
    }

    fn table(part: Part, test: &Test) -> Self {
        let table = part.coded().entries.iter().map(|entry| holds(test, Some(entry))).collect();
        Self::Table(part, table)
    }

    /// Whether every row that has a value here is known to get `answer`.
    fn is_always(&self, answer: bool) -> bool {
        match self {
            Self::Table(_, table) => table.iter().all(|holds| *holds == answer),
            Self::IntsFrom(_, bounds) => !answer && bounds.is_none(),
            Self::FloatsFrom(_, bounds) => !answer && bounds.is_none(),
            Self::Each(..) => false,
        }
    }

    /// Sets the mask for the rows that have a value here.
    fn mask(&self, rows: &Range<usize>, mask: &mut [bool]) {
        match self {
            Self::Table(part, table) => {
                let Coded { codes, .. } = part.coded();
                for (slot, code) in mask.iter_mut().zip(codes.get(rows.clone()).unwrap_or_default()) {
                    if let Some(holds) = table.get(index(*code)) {
                        *slot = *holds;
                    }
                }
            }
            Self::IntsFrom(column, bounds) => {
                let within = |value: i64| bounds.is_some_and(|(low, high)| low <= value && value <= high);
                match column.as_ref() {
                    Column::Times(times) => set(mask, times.get(rows.clone()), None, within),
                    Column::Ints(numbers) => {
                        let present = numbers.present.as_ref().and_then(|present| present.get(rows.clone()));
                        set(mask, numbers.values.get(rows.clone()), present, within);
                    }
                    _ => {}
                }
            }
            Self::FloatsFrom(column, bounds) => {
                let within = |value: f64| bounds.is_some_and(|(low, high)| low <= value && value <= high);
                if let Column::Floats(numbers) = column.as_ref() {
                    let present = numbers.present.as_ref().and_then(|present| present.get(rows.clone()));
                    set(mask, numbers.values.get(rows.clone()), present, within);
                }
            }
            Self::Each(column, test) => {
                for (slot, row) in mask.iter_mut().zip(rows.clone()) {
                    let cell = match column.as_ref() {
                        Column::Ids(ids) => ids.get(row).copied().map(id_cell),
                        Column::Times(times) => times.get(row).copied().map(time_cell),
                        other => other.cell(row),
                    };
                    if let Some(cell) = cell {
                        *slot = holds(test, Some(&cell));
                    }
                }
            }
        }
    }
}

/// Sets the mask where there is a value.
fn set<T: Copy>(mask: &mut [bool], values: Option<&[T]>, present: Option<&[bool]>, within: impl Fn(T) -> bool) {
    let values = values.unwrap_or_default();
    match present {
        None => mask.iter_mut().zip(values).for_each(|(slot, value)| *slot = within(*value)),
        Some(present) => {
            for ((slot, value), here) in mask.iter_mut().zip(values).zip(present) {
                if *here {
                    *slot = within(*value);
                }
            }
        }
    }
}

/// On which side of a bound a test holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Below,
    Above,
}

/// Tests that hold for all values on one side of a bound.
fn order_of(test: &Test) -> Option<Order> {
    match test {
        Test::Less(_) | Test::LessOrEqual(_) => Some(Order::Below),
        Test::Greater(_) | Test::GreaterOrEqual(_) => Some(Order::Above),
        Test::Equals(_) | Test::Exists | Test::In(_) | Test::Contains(_) => None,
    }
}

/// The first and last value from `min` to `max` for which a test holds that changes its answer at most once.
fn bounds(order: Order, min: i64, max: i64, holds: &dyn Fn(i64) -> bool) -> Option<(i64, i64)> {
    // The end where it holds if anywhere, and the other end.
    let (near, far) = if order == Order::Below { (min, max) } else { (max, min) };
    if !holds(near) {
        return None;
    }
    let (mut yes, mut no) = (near, far);
    if holds(far) {
        yes = far;
    } else {
        while yes.abs_diff(no) > 1 {
            // Halfway, without leaving 64 bits.
            let middle = (yes & no) + ((yes ^ no) >> 1);
            if holds(middle) { yes = middle } else { no = middle }
        }
    }
    Some(if order == Order::Below { (min, yes) } else { (yes, max) })
}

/// A number that orders as the float does.
fn key_of(float: f64) -> i64 {
    let bits = float.to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// The inverse of [`key_of`].
fn float_of(key: i64) -> f64 {
    let bits = if key < 0 { key ^ i64::MAX } else { key };
    f64::from_bits(bits.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = Cell> {
        let float = any::<f64>().prop_filter("finite", |float| float.is_finite());
        prop_oneof![
            any::<i64>().prop_map(Cell::Int),
            (-3_i64..3).prop_map(Cell::Int),
            float.prop_map(Cell::Float),
            (-6_i32..6).prop_map(|halves| Cell::Float(f64::from(halves) / 2.0)),
            Just(Cell::Text("x".to_owned())),
        ]
    }

    proptest! {
        #[test]
        fn bounds_found_by_halving_say_what_holds_says(value in number(), bound in number()) {
            for test in [
                Test::Less(bound.clone()),
                Test::LessOrEqual(bound.clone()),
                Test::Greater(bound.clone()),
                Test::GreaterOrEqual(bound.clone()),
            ] {
                let numbers = |value| crate::column::Numbers { values: vec![value], present: None };
                let column = match &value {
                    Cell::Int(value) => Column::Ints(numbers(*value)),
                    Cell::Float(value) => {
                        Column::Floats(crate::column::Numbers { values: vec![*value], present: None })
                    }
                    _ => continue,
                };
                let mut mask = vec![false];
                TestedPart::new(Part::Column(crate::column::Name::Shape, Arc::new(column)), &test).mask(&(0..1), &mut mask);
                prop_assert_eq!(mask[0], holds(&test, Some(&value)), "{:?} {:?}", test, value);
            }
        }
    }
}
