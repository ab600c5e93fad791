//! All values of one property in one source, whatever their types and wherever they are kept.

use std::sync::Arc;

use ahash::AHashMap;
use protocol::row::Cell;
use protocol::{EventId, PropertyPath, Timestamp};

use crate::column::{ABSENT, Coded, Column, Kind, Name, code};
use crate::error::StoreError;
use crate::merge::Source;
use crate::numbers::Numbered;

/// The columns of one property. A row has a value in at most one of them.
#[derive(Default)]
pub(super) struct View {
    pub(super) parts: Vec<Part>,
}

/// One column of a property.
pub(super) enum Part {
    /// As it is in the source, under this name.
    Column(Name, Arc<Column>),
    /// Made for this query.
    Made(Coded),
}

impl View {
    /// Finds the columns of a property.
    pub(super) fn new(source: &Source, path: &PropertyPath) -> Result<Self, StoreError> {
        let own = match path.as_str() {
            "keen.id" => Some(Name::Id),
            "keen.timestamp" => Some(Name::Timestamp),
            "keen.created_at" => Some(Name::CreatedAt),
            _ => None,
        };
        let mut parts = Vec::new();
        if let Some(name) = own {
            let column = source.column(&name)?;
            parts.extend(column.map(|column| Part::Column(name, column)));
            return Ok(Self { parts });
        }
        for (kind, _) in Kind::ALL {
            let name = Name::Property(path.clone(), kind);
            let column = source.column(&name)?;
            parts.extend(column.map(|column| Part::Column(name, column)));
        }
        if let Some(Column::Residual(residual)) = source.residual()?.as_deref() {
            parts.extend(residual.column(path).map(Part::Made));
        }
        Ok(Self { parts })
    }

    /// All values with one dictionary.
    pub(super) fn into_coded(self) -> Part {
        let mut parts = self.parts.into_iter();
        match (parts.next(), parts.next()) {
            (None, _) => Part::Made(Coded::default()),
            (Some(one), None) => one.into_coded(),
            (Some(first), Some(second)) => {
                let mut all = Coded::default();
                for part in [first, second].into_iter().chain(parts) {
                    append(&mut all, part.into_coded().coded());
                }
                Part::Made(all)
            }
        }
    }
}

impl Part {
    /// As codes, which numbers, ids and times are given for this query.
    pub(super) fn into_coded(self) -> Self {
        match self {
            Self::Column(name, column) => match encode(&column) {
                Some(coded) => Self::Made(coded),
                None => Self::Column(name, column),
            },
            made @ Self::Made(_) => made,
        }
    }

    /// What the entries of a part that has codes have for numbers; kept with the segment if they are a segment's.
    pub(super) fn numbered(&self, source: &Source, numbering: u64, lists: bool) -> Result<Arc<Numbered>, StoreError> {
        let entries = self.coded().entries.len();
        match (self, source) {
            (Self::Column(name, _), Source::Segment(segment)) => segment.numbers(name, numbering, lists, entries),
            _ => Ok(Arc::new(Numbered::new(entries))),
        }
    }

    /// The codes of a part that has them.
    pub(super) fn coded(&self) -> &Coded {
        const EMPTY: &Coded = &Coded { codes: Vec::new(), entries: Vec::new() };
        match self {
            Self::Made(coded) => coded,
            Self::Column(_, column) => match column.as_ref() {
                Column::Coded(coded) => coded,
                _ => EMPTY,
            },
        }
    }
}

/// A column that has no codes, with codes.
fn encode(column: &Column) -> Option<Coded> {
    match column {
        Column::Ints(numbers) => {
            Some(encode_with((0..numbers.values.len()).map(|row| numbers.get(row)), |value| Cell::Int(*value)))
        }
        Column::Floats(numbers) => {
            Some(encode_with((0..numbers.values.len()).map(|row| numbers.get(row).map(f64::to_bits)), |bits| {
                Cell::Float(f64::from_bits(*bits))
            }))
        }
        Column::Times(times) => Some(encode_with(times.iter().map(|time| Some(*time)), |time| time_cell(*time))),
        Column::Ids(ids) => Some(encode_with(ids.iter().map(|id| Some(*id)), |id| id_cell(*id))),
        Column::Coded(_) | Column::Residual(_) => None,
    }
}

fn encode_with<T: std::hash::Hash + Eq>(values: impl Iterator<Item = Option<T>>, cell: impl Fn(&T) -> Cell) -> Coded {
    let mut known: AHashMap<T, u32> = AHashMap::new();
    let mut coded = Coded::default();
    for value in values {
        let Some(value) = value else {
            coded.codes.push(ABSENT);
            continue;
        };
        let fresh = code(coded.entries.len());
        let cell = if known.contains_key(&value) { None } else { Some(cell(&value)) };
        coded.codes.push(*known.entry(value).or_insert(fresh));
        coded.entries.extend(cell);
    }
    coded
}

/// Adds the values of rows that have none so far.
fn append(all: &mut Coded, more: &Coded) {
    let offset = code(all.entries.len());
    all.entries.extend(more.entries.iter().cloned());
    if all.codes.len() < more.codes.len() {
        all.codes.resize(more.codes.len(), ABSENT);
    }
    for (slot, code) in all.codes.iter_mut().zip(&more.codes).filter(|(_, code)| **code != ABSENT) {
        *slot = offset + *code;
    }
}

/// A time as a property's value.
pub(super) fn time_cell(ms: i64) -> Cell {
    Cell::Text(Timestamp::from_millis(ms).to_string())
}

/// An id as a property's value.
pub(super) fn id_cell(id: [u8; 16]) -> Cell {
    Cell::Text(EventId::from_bytes(id).to_string())
}
