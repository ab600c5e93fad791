//! What is added up in each slot: counts, sums, averages and extremes. Distinct values are in `unique.rs`.

use std::ops::Range;
use std::sync::Arc;

use protocol::query::Analysis;
use protocol::row::Cell;
use protocol::{PropertyPath, Timestamp};
use query::plan::{Plan, Test};
use query::{canonical, holds, instant_of};

use super::group::NO_SLOT;
use super::unique::{self, Uniques};
use super::view::{Part, View};
use crate::column::{Column, index};
use crate::error::StoreError;
use crate::merge::Source;
use crate::numbers::Numbering;

/// The totals of all slots.
pub(super) enum Totals {
    Count(Vec<u64>),
    Sum { sums: Vec<Sum>, average: bool },
    Extreme { bests: Vec<Best>, largest: bool },
    Unique(Uniques),
}

/// The target's values in one source.
pub(super) enum Target {
    /// Only rows are counted.
    None,
    /// Numbers and times.
    Numbers(Vec<Numbers>),
    /// Distinct values.
    Unique(Vec<unique::Target>),
}

/// One column of the target that has something to add.
pub(super) enum Numbers {
    Plain(Arc<Column>),
    Table(Part, Vec<Number>),
}

/// What one value adds.
#[derive(Clone, Copy)]
pub(super) enum Number {
    None,
    Int(i64),
    Float(f64),
    /// Only for extremes.
    Instant(i64),
}

/// A sum that doesn't depend on the order of rows: exact for integers, compensated for floats.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    whole: i128,
    broken: f64,
    lost: f64,
    wholes: u64,
    brokens: u64,
}

/// The best so far of each kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Best {
    int: Option<i64>,
    float: Option<f64>,
    instant: Option<i64>,
}

impl Totals {
    pub(super) fn new(plan: &Plan, numbering: impl FnOnce(&PropertyPath) -> Arc<Numbering>) -> Self {
        match (plan.analysis, &plan.target) {
            (Analysis::Count, _) | (_, None) => Self::Count(Vec::new()),
            (Analysis::CountUnique, Some(target)) => {
                Self::Unique(Uniques::new(plan.unique_values_max, numbering(target)))
            }
            (Analysis::Sum, _) => Self::Sum { sums: Vec::new(), average: false },
            (Analysis::Average, _) => Self::Sum { sums: Vec::new(), average: true },
            (Analysis::Minimum, _) => Self::Extreme { bests: Vec::new(), largest: false },
            (Analysis::Maximum, _) => Self::Extreme { bests: Vec::new(), largest: true },
        }
    }

    /// Prepares the target's columns of one source.
    pub(super) fn bind(&self, source: &Source, view: View) -> Result<Target, StoreError> {
        Ok(match self {
            Self::Count(_) => Target::None,
            Self::Unique(uniques) => {
                let bound = view.parts.into_iter().map(|part| uniques.bind(source, part));
                Target::Unique(bound.collect::<Result<_, _>>()?)
            }
            Self::Sum { .. } => {
                Target::Numbers(view.parts.into_iter().filter_map(|part| Numbers::new(part, false)).collect())
            }
            Self::Extreme { .. } => {
                Target::Numbers(view.parts.into_iter().filter_map(|part| Numbers::new(part, true)).collect())
            }
        })
    }

    /// Adds a batch of rows, whose slots are given; there are `count` slots by now.
    pub(super) fn add(
        &mut self,
        target: &mut Target,
        rows: &Range<usize>,
        slots: &[u32],
        count: usize,
    ) -> Result<(), StoreError> {
        match (self, target) {
            (Self::Count(counts), _) => {
                counts.resize(count, 0);
                for slot in slots {
                    // `NO_SLOT` is beyond the end.
                    if let Some(rows) = counts.get_mut(index(*slot)) {
                        *rows += 1;
                    }
                }
            }
            (Self::Sum { sums, .. }, Target::Numbers(columns)) => {
                sums.resize(count, Sum::default());
                for column in columns {
                    column.each(rows, slots, sums, Sum::add);
                }
            }
            (Self::Extreme { bests, largest }, Target::Numbers(columns)) => {
                bests.resize(count, Best::default());
                for column in columns {
                    if *largest {
                        column.each(rows, slots, bests, |best, number| best.take(number, true));
                    } else {
                        column.each(rows, slots, bests, |best, number| best.take(number, false));
                    }
                }
            }
            (Self::Unique(uniques), Target::Unique(columns)) => {
                uniques.resize(count);
                for column in columns {
                    uniques.add(column, rows, slots)?;
                }
            }
            (_, Target::None | Target::Numbers(_) | Target::Unique(_)) => {}
        }
        Ok(())
    }

    /// The value of a slot.
    pub(super) fn value(&self, slot: usize) -> Cell {
        match self {
            Self::Count(counts) => count_cell(counts.get(slot).copied().unwrap_or(0)),
            Self::Sum { sums, average } => sums.get(slot).map_or(Cell::Null, |sum| sum.value(*average)),
            Self::Extreme { bests, largest } => bests.get(slot).map_or(Cell::Null, |best| best.value(*largest)),
            Self::Unique(uniques) => count_cell(uniques.count(slot)),
        }
    }
}

fn count_cell(count: u64) -> Cell {
    Cell::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

impl Numbers {
    /// None when the column has nothing to add.
    fn new(part: Part, times_count: bool) -> Option<Self> {
        if let Part::Column(_, column) = &part {
            match column.as_ref() {
                Column::Ints(_) | Column::Floats(_) => return Some(Self::Plain(column.clone())),
                Column::Times(_) => return times_count.then(|| Self::Plain(column.clone())),
                Column::Ids(_) | Column::Residual(_) => return None,
                Column::Coded(_) => {}
            }
        }
        let number = |cell: &Cell| match cell {
            Cell::Int(value) => Number::Int(*value),
            Cell::Float(value) => Number::Float(*value),
            Cell::Text(text) if times_count => instant_of(text).map_or(Number::None, |at| Number::Instant(at.millis())),
            _ => Number::None,
        };
        let table: Vec<Number> = part.coded().entries.iter().map(number).collect();
        let any = table.iter().any(|number| !matches!(number, Number::None));
        any.then_some(Self::Table(part, table))
    }

    /// Calls `add` for each row that counts and has a number.
    fn each<S>(&self, rows: &Range<usize>, slots: &[u32], states: &mut [S], add: impl Fn(&mut S, Number)) {
        match self {
            Self::Table(part, table) => {
                let codes = part.coded().codes.get(rows.clone()).unwrap_or_default();
                for (slot, code) in slots.iter().zip(codes) {
                    if let (Some(state), Some(number)) = (states.get_mut(index(*slot)), table.get(index(*code))) {
                        add(state, *number);
                    }
                }
            }
            Self::Plain(column) => match column.as_ref() {
                Column::Times(times) => {
                    each(times.get(rows.clone()), None, slots, states, |state, at| add(state, Number::Instant(at)));
                }
                Column::Ints(numbers) => {
                    let present = numbers.present.as_ref().and_then(|present| present.get(rows.clone()));
                    let values = numbers.values.get(rows.clone());
                    each(values, present, slots, states, |state, value| add(state, Number::Int(value)));
                }
                Column::Floats(numbers) => {
                    let present = numbers.present.as_ref().and_then(|present| present.get(rows.clone()));
                    let values = numbers.values.get(rows.clone());
                    each(values, present, slots, states, |state, value| add(state, Number::Float(value)));
                }
                Column::Ids(_) | Column::Coded(_) | Column::Residual(_) => {}
            },
        }
    }
}

fn each<S, T: Copy>(
    values: Option<&[T]>,
    present: Option<&[bool]>,
    slots: &[u32],
    states: &mut [S],
    add: impl Fn(&mut S, T),
) {
    let values = values.unwrap_or_default();
    match present {
        None => {
            for (slot, value) in slots.iter().zip(values) {
                if let Some(state) = states.get_mut(index(*slot)) {
                    add(state, *value);
                }
            }
        }
        Some(present) => {
            for ((slot, value), here) in slots.iter().zip(values).zip(present) {
                if *here
                    && *slot != NO_SLOT
                    && let Some(state) = states.get_mut(index(*slot))
                {
                    add(state, *value);
                }
            }
        }
    }
}

impl Sum {
    fn add(&mut self, number: Number) {
        match number {
            Number::Int(value) => {
                self.whole += i128::from(value);
                self.wholes += 1;
            }
            Number::Float(value) => {
                // Neumaier: what the addition rounds away is kept apart.
                let sum = self.broken + value;
                if sum.is_finite() {
                    self.lost += if self.broken.abs() >= value.abs() {
                        (self.broken - sum) + value
                    } else {
                        (value - sum) + self.broken
                    };
                    self.broken = sum;
                } else {
                    self.broken = finite(sum);
                    self.lost = 0.0;
                }
                self.brokens += 1;
            }
            Number::None | Number::Instant(_) => {}
        }
    }

    fn value(&self, average: bool) -> Cell {
        let numbers = self.wholes + self.brokens;
        if numbers == 0 {
            return Cell::Null;
        }
        let total = finite(self.whole as f64 + finite(self.broken + self.lost));
        if average {
            return Cell::Float(total / numbers as f64);
        }
        match i64::try_from(self.whole) {
            Ok(whole) if self.brokens == 0 => Cell::Int(whole),
            _ => Cell::Float(total),
        }
    }
}

fn finite(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}

impl Best {
    fn take(&mut self, number: Number, largest: bool) {
        match number {
            Number::None => {}
            Number::Int(value) => better(&mut self.int, value, largest),
            Number::Float(value) => better(&mut self.float, value, largest),
            Number::Instant(value) => better(&mut self.instant, value, largest),
        }
    }

    fn value(&self, largest: bool) -> Cell {
        match (self.int, self.float, self.instant) {
            (None, None, None) => Cell::Null,
            (None, None, Some(at)) => Cell::Text(Timestamp::from_millis(at).to_string()),
            (Some(int), None, _) => Cell::Int(int),
            (None, Some(float), _) => canonical(Cell::Float(float)),
            (Some(int), Some(float), _) => {
                // Comparing the two without losing digits is what filters do.
                let (int, float) = (Cell::Int(int), Cell::Float(float));
                let test = if largest { Test::Greater(float.clone()) } else { Test::Less(float.clone()) };
                if holds(&test, Some(&int)) { int } else { canonical(float) }
            }
        }
    }
}

fn better<T: PartialOrd + Copy>(best: &mut Option<T>, value: T, largest: bool) {
    let wins = best.is_none_or(|best| if largest { value > best } else { value < best });
    if wins {
        *best = Some(value);
    }
}
