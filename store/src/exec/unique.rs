//! Exact distinct values of each slot.
//!
//! A value gets one number over all sources; a slot is a set of numbers, first a hash set, and a bitmap once that is
//! smaller. A dictionary's entry is looked up once for each source.

use std::ops::Range;
use std::sync::Arc;

use ahash::AHashSet;
use protocol::row::Cell;
use serde_json::Value;

use super::view::Part;
use crate::column::{ABSENT, index};
use crate::error::StoreError;
use crate::merge::Source;
use crate::numbers::{Numbered, Numbering, Stands};

/// Numbers up to which a set always is a hash set.
const SMALL: usize = 16;
/// Bytes of one number in a hash set, roughly.
const HASHED_BYTES: usize = 8;

/// The sets of all slots.
pub(super) struct Uniques {
    values_max: usize,
    /// Over all slots.
    held: usize,
    values: Arc<Numbering>,
    sets: Vec<Set>,
}

/// One column of the target in one source.
pub(super) struct Target {
    part: Part,
    numbers: Arc<Numbered>,
}

impl Uniques {
    pub(super) fn new(values_max: usize, values: Arc<Numbering>) -> Self {
        Self { values_max, held: 0, values, sets: Vec::new() }
    }

    /// Prepares one column of the target.
    pub(super) fn bind(&self, source: &Source, part: Part) -> Result<Target, StoreError> {
        let part = part.into_coded();
        let numbers = part.numbered(source, self.values.id, true)?;
        Ok(Target { part, numbers })
    }

    pub(super) fn resize(&mut self, slots: usize) {
        self.sets.resize_with(slots, Set::default);
    }

    /// Distinct values of a slot.
    pub(super) fn count(&self, slot: usize) -> u64 {
        self.sets.get(slot).map_or(0, |set| u64::try_from(set.len()).unwrap_or(u64::MAX))
    }

    /// Adds a batch of rows, whose slots are given.
    pub(super) fn add(&mut self, target: &Target, rows: &Range<usize>, slots: &[u32]) -> Result<(), StoreError> {
        let coded = target.part.coded();
        let codes = coded.codes.get(rows.clone()).unwrap_or_default();
        // Only a guess of how many numbers there are: sets grow when they meet a higher one.
        let universe = self.values.len();
        for (slot, code) in slots.iter().zip(codes).filter(|(_, code)| **code != ABSENT) {
            let Some(set) = self.sets.get_mut(index(*slot)) else { continue };
            let look_up = || look_up(coded.entries.get(index(*code)).unwrap_or(&Cell::Null), &self.values);
            match target.numbers.get(*code, look_up) {
                Some(Stands::One(number)) => self.held += usize::from(set.insert(number, universe)),
                Some(Stands::Several(numbers)) => {
                    for number in numbers.iter() {
                        self.held += usize::from(set.insert(*number, universe));
                    }
                }
                None => {}
            }
            if self.held > self.values_max {
                return Err(StoreError::TooManyValues { limit: self.values_max });
            }
        }
        Ok(())
    }
}

/// The numbers of the values that a cell counts as: none for null, the elements of a list, else itself.
fn look_up(cell: &Cell, values: &Numbering) -> Stands {
    match cell {
        Cell::Null => Stands::Several(Arc::new([])),
        Cell::List(text) => match serde_json::from_str(text) {
            Ok(Value::Array(elements)) => {
                let cells = elements.iter().map(element).filter(|cell| *cell != Cell::Null);
                Stands::Several(cells.map(|cell| values.number(&cell)).collect())
            }
            _ => Stands::One(values.number(cell)),
        },
        other => Stands::One(values.number(other)),
    }
}

/// An element of a list as a value; an object's text stands for it. Whole numbers beyond 64 bits are their digits.
fn element(value: &Value) -> Cell {
    let float = |value: &serde_json::Number| value.as_f64().filter(|float| float.is_finite());
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => Cell::List(value.to_string()),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Cell::Int(int),
            (None, Some(large)) => Cell::Text(large.to_string()),
            (None, None) => float(number).map_or_else(|| Cell::List(value.to_string()), Cell::Float),
        },
    }
}

/// A set of numbers.
enum Set {
    Hashed(AHashSet<u32>),
    Bitmap { words: Vec<u64>, len: usize },
}

impl Default for Set {
    fn default() -> Self {
        Self::Hashed(AHashSet::new())
    }
}

impl Set {
    fn len(&self) -> usize {
        match self {
            Self::Hashed(numbers) => numbers.len(),
            Self::Bitmap { len, .. } => *len,
        }
    }

    /// Adds a number; true when it is new. `universe` is about how many numbers there are.
    fn insert(&mut self, number: u32, universe: usize) -> bool {
        match self {
            Self::Hashed(numbers) => {
                let new = numbers.insert(number);
                if new && numbers.len() > SMALL && numbers.len() * HASHED_BYTES > universe / 8 {
                    let mut words = vec![0; universe.div_ceil(64)]; // grows if that was too few
                    let len = numbers.len();
                    for number in numbers.iter() {
                        set_bit(&mut words, *number);
                    }
                    *self = Self::Bitmap { words, len };
                }
                new
            }
            Self::Bitmap { words, len } => {
                let new = set_bit(words, number);
                *len += usize::from(new);
                new
            }
        }
    }
}

/// Sets a bit; true when it was not set.
fn set_bit(words: &mut Vec<u64>, number: u32) -> bool {
    let (word, bit) = (index(number / 64), 1_u64 << (number % 64));
    if words.len() <= word {
        // Grows in steps, as numbers mostly come in order.
        words.resize((word + 1).next_multiple_of(64), 0);
    }
    match words.get_mut(word) {
        Some(word) => {
            let new = *word & bit == 0;
            *word |= bit;
            new
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_counts_each_number_once_while_it_changes_its_form() {
        let mut set = Set::default();
        for round in 0..3 {
            for number in 0..1_000_u32 {
                let number = number * 7 % 1_000;
                assert_eq!(set.insert(number, 1_000), round == 0, "{number} in round {round}");
            }
        }
        assert_eq!(set.len(), 1_000);
        assert!(matches!(set, Set::Bitmap { .. }));
    }
}
