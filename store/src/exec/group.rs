//! Groups and buckets: which slot a row's value goes to.
//!
//! A slot is one bucket and group that has a row. Within a source a group is a number made of the codes of its
//! properties; it is looked up by its values once for each bucket in which it comes, and from then on is an index.

use std::ops::Range;
use std::sync::Arc;

use ahash::AHashMap;
use protocol::row::Cell;

use super::view::Part;
use crate::column::{ABSENT, code, index};
use crate::error::StoreError;
use crate::merge::Source;
use crate::numbers::{Numbered, Numbering, Stands};

/// The slot of a row that doesn't count.
pub(super) const NO_SLOT: u32 = u32::MAX;
/// No value has this number.
const UNKNOWN: u32 = u32::MAX;

/// All groups and slots of a query, over all sources.
pub(super) struct Groups {
    groups_max: usize,
    /// For each property of the group its values.
    values: Vec<Arc<Numbering>>,
    by_values: AHashMap<Box<[u32]>, u32>,
    groups: Vec<Box<[u32]>>,
    by_bucket: AHashMap<(u32, u32), u32>,
    slots: Vec<(u32, u32)>,
}

impl Groups {
    pub(super) fn new(values: Vec<Arc<Numbering>>, groups_max: usize) -> Self {
        Self {
            groups_max,
            values,
            by_values: AHashMap::new(),
            groups: Vec::new(),
            by_bucket: AHashMap::new(),
            slots: Vec::new(),
        }
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Bucket and group of each slot.
    pub(super) fn lines(&self) -> Vec<(usize, Vec<Cell>)> {
        let group = |group: u32| -> Vec<Cell> {
            let numbers = self.groups.get(index(group)).into_iter().flatten();
            self.values.iter().zip(numbers).map(|(values, number)| values.cell(*number)).collect()
        };
        self.slots.iter().map(|(bucket, of)| (index(*bucket), group(*of))).collect()
    }

    fn slot(&mut self, bucket: u32, group: u32) -> u32 {
        let fresh = code(self.slots.len());
        let slot = *self.by_bucket.entry((bucket, group)).or_insert(fresh);
        if slot == fresh {
            self.slots.push((bucket, group));
        }
        slot
    }

    fn group(&mut self, numbers: &[u32]) -> Result<u32, StoreError> {
        if let Some(known) = self.by_values.get(numbers) {
            return Ok(*known);
        }
        if self.groups.len() >= self.groups_max {
            return Err(StoreError::TooManyGroups { limit: self.groups_max });
        }
        let group = code(self.groups.len());
        self.by_values.insert(numbers.into(), group);
        self.groups.push(numbers.into());
        Ok(group)
    }
}

/// One property of the group in one source.
struct Property {
    part: Part,
    /// The number of each entry's value.
    numbers: Arc<Numbered>,
    /// The code for rows without one: that after the last entry.
    missing: u32,
    /// How the property's code is joined with those before it.
    join: Join,
}

enum Join {
    /// Joined = before × width + code.
    Product { width: u32 },
    /// Joined codes are numbered as they come.
    Numbered { by_pair: AHashMap<(u32, u32), u32>, pairs: Vec<(u32, u32)> },
}

/// Turns rows of one source into slots.
pub(super) struct Slots {
    properties: Vec<Property>,
    /// For each joined code its group in [`Groups`].
    groups: Vec<u32>,
    /// For each joined code the slot in `bucket`, if that was its last.
    slots: Vec<(u32, u32)>,
    joined: Vec<u32>,
}

impl Slots {
    /// Prepares the properties of a source with so many rows.
    pub(super) fn new(parts: Vec<Part>, source: &Source, groups: &Groups) -> Result<Self, StoreError> {
        // While all combinations are not many more than rows, they need no table to be numbered.
        let dense_max = u64::try_from(source.rows()).unwrap_or(u64::MAX).saturating_mul(4).clamp(1_024, 1 << 24);
        let mut size = Some(1_u64);
        let mut properties = Vec::with_capacity(parts.len());
        for (part, numbering) in parts.into_iter().zip(&groups.values) {
            let width = part.coded().entries.len() + 1;
            let wide = u64::try_from(width).unwrap_or(u64::MAX);
            size = size.and_then(|size| size.checked_mul(wide)).filter(|size| *size <= dense_max);
            let join = match size {
                Some(_) => Join::Product { width: code(width) },
                None => Join::Numbered { by_pair: AHashMap::new(), pairs: Vec::new() },
            };
            let numbers = part.numbered(source, numbering.id, false)?;
            properties.push(Property { numbers, missing: code(width - 1), part, join });
        }
        Ok(Self { properties, groups: Vec::new(), slots: Vec::new(), joined: Vec::new() })
    }

    /// Writes the slots of rows of one bucket; rows that the mask leaves out keep [`NO_SLOT`].
    pub(super) fn fill(
        &mut self,
        groups: &mut Groups,
        bucket: usize,
        rows: Range<usize>,
        mask: Option<&[bool]>,
        out: &mut [u32],
    ) -> Result<(), StoreError> {
        let bucket = code(bucket);
        if self.properties.is_empty() {
            if mask.is_some_and(|mask| !mask.contains(&true)) {
                return Ok(());
            }
            let group = groups.group(&[])?;
            let slot = groups.slot(bucket, group);
            match mask {
                None => out.fill(slot),
                Some(mask) => out.iter_mut().zip(mask).filter(|(_, counts)| **counts).for_each(|(out, _)| *out = slot),
            }
            return Ok(());
        }
        self.join(&rows, mask);
        let joined = std::mem::take(&mut self.joined);
        for (place, (out, joined)) in out.iter_mut().zip(&joined).enumerate() {
            if mask.is_some_and(|mask| !mask.get(place).copied().unwrap_or(false)) {
                continue;
            }
            *out = match self.slots.get(index(*joined)) {
                Some((of, slot)) if *of == bucket => *slot,
                _ => self.look_up(groups, bucket, *joined)?,
            };
        }
        self.joined = joined;
        Ok(())
    }

    /// Joins the codes of all properties to one a row.
    fn join(&mut self, rows: &Range<usize>, mask: Option<&[bool]>) {
        self.joined.clear();
        self.joined.resize(rows.len(), 0);
        for Property { part, missing, join, .. } in &mut self.properties {
            let missing = *missing;
            let codes = part.coded().codes.get(rows.clone());
            // A property that the source lacks has no codes at all.
            let codes = codes.unwrap_or_default().iter().chain(std::iter::repeat(&ABSENT));
            match join {
                Join::Product { width } => {
                    for (joined, code) in self.joined.iter_mut().zip(codes) {
                        *joined = *joined * *width + (*code).min(missing);
                    }
                }
                Join::Numbered { by_pair, pairs } => {
                    for (place, (joined, code)) in self.joined.iter_mut().zip(codes).enumerate() {
                        if mask.is_none_or(|mask| mask.get(place).copied().unwrap_or(false)) {
                            let pair = (*joined, (*code).min(missing));
                            let fresh = crate::column::code(pairs.len());
                            *joined = *by_pair.entry(pair).or_insert(fresh);
                            if *joined == fresh {
                                pairs.push(pair);
                            }
                        }
                    }
                }
            }
        }
    }

    /// The slot of a joined code in a bucket in which it has not come yet.
    fn look_up(&mut self, groups: &mut Groups, bucket: u32, joined: u32) -> Result<u32, StoreError> {
        let place = index(joined);
        if self.groups.len() <= place {
            self.groups.resize(place + 1, UNKNOWN);
            self.slots.resize(place + 1, (UNKNOWN, NO_SLOT));
        }
        let mut group = self.groups.get(place).copied().unwrap_or(UNKNOWN);
        if group == UNKNOWN {
            group = self.find_group(groups, joined)?;
            if let Some(known) = self.groups.get_mut(place) {
                *known = group;
            }
        }
        let slot = groups.slot(bucket, group);
        if let Some(known) = self.slots.get_mut(place) {
            *known = (bucket, slot);
        }
        Ok(slot)
    }

    /// Takes a joined code apart and finds the group of its values.
    fn find_group(&mut self, groups: &mut Groups, mut joined: u32) -> Result<u32, StoreError> {
        let mut numbers = vec![UNKNOWN; self.properties.len()];
        let each = self.properties.iter_mut().zip(&groups.values).zip(&mut numbers).rev();
        for ((Property { part, numbers: known, join, .. }, values), number) in each {
            let (before, code) = match join {
                Join::Product { width } => (joined / *width, joined % *width),
                Join::Numbered { pairs, .. } => pairs.get(index(joined)).copied().unwrap_or_default(),
            };
            joined = before;
            let entry = part.coded().entries.get(index(code));
            *number = match entry.and_then(|entry| known.get(code, || Stands::One(values.number(entry)))) {
                Some(Stands::One(number)) => number,
                // Rows without a value group as null does.
                _ => values.number(&Cell::Null),
            };
        }
        groups.group(&numbers)
    }
}
