//! One column of a block or segment in memory, and the names columns have in files.
//!
//! A property becomes one column for each type that its values have, named `path#type`, so that a property with
//! several types loses nothing. Everything that isn't a number or the row's own id and times is coded: a `u32` a row
//! into a dictionary of distinct values, which is what filters and groups work on. This file knows no rows, files or
//! queries.

use std::fmt;

use ahash::AHashMap;
use protocol::PropertyPath;
use protocol::row::Cell;

use crate::residual::Residual;

/// The code of a row that has no value in a column.
pub(crate) const ABSENT: u32 = u32::MAX;

/// The type of a property's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Whole numbers of 64 bits: `#int`.
    Int,
    /// Other numbers: `#num`.
    Num,
    /// Strings: `#str`.
    Str,
    /// `#bool`.
    Bool,
    /// Lists as JSON text: `#list`.
    List,
    /// JSON `null`, kept as a column that is true where it was sent: `#null`.
    Null,
}

impl Kind {
    /// All of them with their names.
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::Int, "int"),
        (Self::Num, "num"),
        (Self::Str, "str"),
        (Self::Bool, "bool"),
        (Self::List, "list"),
        (Self::Null, "null"),
    ];

    /// The kind of column a value belongs to.
    pub(crate) const fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Bool(_) => Self::Bool,
            Cell::Int(_) => Self::Int,
            Cell::Float(_) => Self::Num,
            Cell::Text(_) => Self::Str,
            Cell::List(_) => Self::List,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Num => "num",
            Self::Str => "str",
            Self::Bool => "bool",
            Self::List => "list",
            Self::Null => "null",
        }
    }
}

/// Which column. The row's own have no `#`, so they can't be mistaken for a property's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Name {
    /// `keen.id`, 16 bytes.
    Id,
    /// `keen.timestamp`, milliseconds. Rows are in its order.
    Timestamp,
    /// `keen.created_at`, milliseconds.
    CreatedAt,
    /// `shape`: the columns that hold the row's properties, in the order of the event, as a JSON list of names.
    Shape,
    /// `residual`: properties without a column, as a JSON object.
    Residual,
    /// A property's values of one type.
    Property(PropertyPath, Kind),
}

impl Name {
    /// Reads the spelling of [`fmt::Display`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "keen.id" => Self::Id,
            "keen.timestamp" => Self::Timestamp,
            "keen.created_at" => Self::CreatedAt,
            "shape" => Self::Shape,
            "residual" => Self::Residual,
            _ => {
                let (path, kind) = text.rsplit_once('#')?;
                let (kind, _) = Kind::ALL.into_iter().find(|(_, name)| *name == kind)?;
                Self::Property(PropertyPath::from_checked(path), kind)
            }
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("keen.id"),
            Self::Timestamp => f.write_str("keen.timestamp"),
            Self::CreatedAt => f.write_str("keen.created_at"),
            Self::Shape => f.write_str("shape"),
            Self::Residual => f.write_str("residual"),
            Self::Property(path, kind) => write!(f, "{path}#{}", kind.text()),
        }
    }
}

/// The values of one column, one place a row.
#[derive(Debug, Clone)]
pub(crate) enum Column {
    /// Event ids; every row has one.
    Ids(Vec<[u8; 16]>),
    /// Milliseconds; every row has one.
    Times(Vec<i64>),
    /// Whole numbers.
    Ints(Numbers<i64>),
    /// Other numbers.
    Floats(Numbers<f64>),
    /// Anything with a dictionary.
    Coded(Coded),
    /// The residual column, taken apart; never in a file.
    Residual(Residual),
}

/// Numbers, and which rows have one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers<T> {
    /// One a row; anything where absent.
    pub(crate) values: Vec<T>,
    /// Which rows have a value; none when all do.
    pub(crate) present: Option<Vec<bool>>,
}

impl<T: Copy> Numbers<T> {
    /// The value of a row.
    pub(crate) fn get(&self, row: usize) -> Option<T> {
        let here = self.present.as_ref().is_none_or(|present| present.get(row).copied().unwrap_or(false));
        if here { self.values.get(row).copied() } else { None }
    }

    /// From one optional value a row.
    pub(crate) fn collect(rows: impl Iterator<Item = Option<T>>, filler: T) -> Self {
        let (values, present): (Vec<T>, Vec<bool>) =
            rows.map(|value| (value.unwrap_or(filler), value.is_some())).unzip();
        let all = present.iter().all(|here| *here);
        Self { values, present: (!all).then_some(present) }
    }
}

/// Codes into a dictionary.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Coded {
    /// One a row: an index into `entries`, or [`ABSENT`].
    pub(crate) codes: Vec<u32>,
    /// The dictionary: distinct values.
    pub(crate) entries: Vec<Cell>,
}

impl Coded {
    /// The value of a row.
    pub(crate) fn get(&self, row: usize) -> Option<&Cell> {
        self.codes.get(row).and_then(|code| self.entries.get(index(*code)))
    }
}

impl Column {
    /// The value of a property's column at a row.
    pub(crate) fn cell(&self, row: usize) -> Option<Cell> {
        match self {
            Self::Ints(numbers) => numbers.get(row).map(Cell::Int),
            Self::Floats(numbers) => numbers.get(row).map(Cell::Float),
            Self::Coded(coded) => coded.get(row).cloned(),
            Self::Ids(_) | Self::Times(_) | Self::Residual(_) => None,
        }
    }

    /// The times, if it holds times.
    pub(crate) fn times(&self) -> &[i64] {
        match self {
            Self::Times(times) => times,
            _ => &[],
        }
    }

    /// The ids, if it holds ids.
    pub(crate) fn ids(&self) -> &[[u8; 16]] {
        match self {
            Self::Ids(ids) => ids,
            _ => &[],
        }
    }

    /// Memory it takes, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len() * 16,
            Self::Times(times) => times.len() * 8,
            Self::Ints(numbers) => numbers.values.len() * 8 + numbers.present.as_ref().map_or(0, Vec::len),
            Self::Floats(numbers) => numbers.values.len() * 8 + numbers.present.as_ref().map_or(0, Vec::len),
            Self::Coded(coded) => coded.codes.len() * 4 + coded.entries.iter().map(cell_bytes).sum::<usize>(),
            Self::Residual(residual) => residual.size_bytes(),
        }
    }
}

/// Memory of one value.
pub(crate) fn cell_bytes(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text) | Cell::List(text) => 48 + text.len(),
        _ => 32,
    }
}

/// Where a row of a gathered column comes from: the part, and the row in it.
pub(crate) type Pick = (u32, u32);

/// Makes a column of picked rows out of several blocks' or segments' columns of the same name; a part that lacks the
/// column has no value for it.
pub(crate) fn gather(name: &Name, parts: &[Option<std::sync::Arc<Column>>], picks: &[Pick]) -> Column {
    let part = |pick: &Pick| parts.get(index(pick.0)).and_then(Option::as_deref);
    match name {
        Name::Id => {
            let id = |pick: &Pick| part(pick).and_then(|column| column.ids().get(index(pick.1)).copied());
            Column::Ids(picks.iter().map(|pick| id(pick).unwrap_or_default()).collect())
        }
        Name::Timestamp | Name::CreatedAt => {
            let time = |pick: &Pick| part(pick).and_then(|column| column.times().get(index(pick.1)).copied());
            Column::Times(picks.iter().map(|pick| time(pick).unwrap_or_default()).collect())
        }
        Name::Property(_, Kind::Int) => {
            let value = |pick: &Pick| match part(pick) {
                Some(Column::Ints(numbers)) => numbers.get(index(pick.1)),
                _ => None,
            };
            Column::Ints(Numbers::collect(picks.iter().map(value), 0))
        }
        Name::Property(_, Kind::Num) => {
            let value = |pick: &Pick| match part(pick) {
                Some(Column::Floats(numbers)) => numbers.get(index(pick.1)),
                _ => None,
            };
            Column::Floats(Numbers::collect(picks.iter().map(value), 0.0))
        }
        Name::Shape | Name::Residual | Name::Property(..) => Column::Coded(gather_coded(parts, picks)),
    }
}

/// [`gather`] for dictionaries: entries of the parts become entries of one, in order of first use.
fn gather_coded(parts: &[Option<std::sync::Arc<Column>>], picks: &[Pick]) -> Coded {
    let mut dictionary = Dictionary::default();
    let mut known: Vec<Vec<u32>> = Vec::new();
    for part in parts {
        let entries = match part.as_deref() {
            Some(Column::Coded(coded)) => coded.entries.len(),
            _ => 0,
        };
        known.push(vec![ABSENT; entries]);
    }
    let mut codes = Vec::with_capacity(picks.len());
    for (part, row) in picks {
        let mut code = ABSENT;
        if let Some(Column::Coded(coded)) = parts.get(index(*part)).and_then(Option::as_deref)
            && let Some(old) = coded.codes.get(index(*row))
            && let Some(entry) = coded.entries.get(index(*old))
            && let Some(slot) = known.get_mut(index(*part)).and_then(|known| known.get_mut(index(*old)))
        {
            if *slot == ABSENT {
                *slot = dictionary.code(entry);
            }
            code = *slot;
        }
        codes.push(code);
    }
    Coded { codes, entries: dictionary.into_entries() }
}

/// Gives equal values equal codes. Numbers of different types are different values here.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    texts: AHashMap<Box<str>, u32>,
    others: AHashMap<(Kind, u64), u32>,
    lists: AHashMap<Box<str>, u32>,
    entries: Vec<Cell>,
}

impl Dictionary {
    /// The code of a value, which is added when new.
    pub(crate) fn code(&mut self, cell: &Cell) -> u32 {
        let fresh = code(self.entries.len());
        let known = match cell {
            Cell::Text(text) => lookup(&mut self.texts, text, fresh),
            Cell::List(text) => lookup(&mut self.lists, text, fresh),
            Cell::Null => *self.others.entry((Kind::Null, 0)).or_insert(fresh),
            Cell::Bool(value) => *self.others.entry((Kind::Bool, u64::from(*value))).or_insert(fresh),
            Cell::Int(value) => *self.others.entry((Kind::Int, value.cast_unsigned())).or_insert(fresh),
            Cell::Float(value) => *self.others.entry((Kind::Num, value.to_bits())).or_insert(fresh),
        };
        if known == fresh {
            self.entries.push(cell.clone());
        }
        known
    }

    /// Values so far.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The values, by code.
    pub(crate) fn into_entries(self) -> Vec<Cell> {
        self.entries
    }

    /// The value of a code.
    pub(crate) fn get(&self, code: u32) -> Option<&Cell> {
        self.entries.get(index(code))
    }
}

/// The code of a text; one hash and no copy when it is known.
fn lookup(map: &mut AHashMap<Box<str>, u32>, text: &str, fresh: u32) -> u32 {
    if let Some(known) = map.get(text) {
        return *known;
    }
    map.insert(text.into(), fresh);
    fresh
}

/// A code as an index.
pub(crate) const fn index(code: u32) -> usize {
    code as usize
}

/// An index as a code; blocks and segments have far fewer rows than codes, so it can't be cut.
pub(crate) fn code(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(ABSENT - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_and_parse_whatever_the_path_holds() {
        for text in
            ["keen.id", "keen.timestamp", "keen.created_at", "shape", "residual", "a.b#int", "a#str#null", "#x#list"]
        {
            assert_eq!(Name::parse(text).map(|name| name.to_string()).as_deref(), Some(text), "{text:?}");
        }
        for text in ["a", "a#", "a#text", ""] {
            assert_eq!(Name::parse(text), None, "{text:?}");
        }
    }
}
