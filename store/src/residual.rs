//! Properties that have no column of their own: those beyond a collection's cap and those that few rows have.
//!
//! They are kept a row as one JSON object from path to value, in the order of the event. Reading it gives back
//! exactly what was written, so numbers are told apart by their spelling (`1` is whole, `1.0` is not) and lists keep
//! their text. Queries find a path through an index that is made once for each distinct object.

use std::fmt::Write as _;

use ahash::AHashMap;
use protocol::PropertyPath;
use protocol::row::Cell;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::column::{ABSENT, Coded, cell_bytes, code, index};

/// Appends one property to the object that `text` is the start of.
pub(crate) fn push(text: &mut String, path: &PropertyPath, cell: &Cell) {
    text.push(if text.is_empty() { '{' } else { ',' });
    push_text(text, path.as_str());
    text.push(':');
    match cell {
        Cell::Null => text.push_str("null"),
        Cell::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Cell::Int(value) => {
            let _ = write!(text, "{value}");
        }
        Cell::Float(value) => {
            let _ = write!(text, "{value:?}");
        }
        Cell::Text(value) => push_text(text, value),
        Cell::List(value) => text.push_str(value),
    }
}

fn push_text(text: &mut String, value: &str) {
    text.push_str(&serde_json::Value::from(value).to_string());
}

/// Whether a value can be kept here and come back the same; a list that isn't JSON or a number that isn't finite
/// can't, and gets a column in any case.
pub(crate) fn fits(cell: &Cell) -> bool {
    match cell {
        Cell::Float(value) => value.is_finite(),
        Cell::List(text) => {
            text.starts_with(['[', '{']) && serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text)
        }
        _ => true,
    }
}

/// Reads one object.
pub(crate) fn parse(text: &str) -> Result<Vec<(PropertyPath, Cell)>, serde_json::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(PropertyPath, Cell)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of properties")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some((path, value)) = map.next_entry::<String, &RawValue>()? {
                let cell = cell(value.get()).ok_or_else(|| serde::de::Error::custom("no value of a property"))?;
                pairs.push((PropertyPath::from_checked(&path), cell));
            }
            Ok(pairs)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(Pairs)
}

/// The value with this JSON text; none when it is none.
pub(crate) fn cell(text: &str) -> Option<Cell> {
    match text.as_bytes().first()? {
        b'n' => Some(Cell::Null),
        b't' => Some(Cell::Bool(true)),
        b'f' => Some(Cell::Bool(false)),
        b'"' => serde_json::from_str(text).ok().map(Cell::Text),
        // An empty object is a list cell too: the event had the property, but nothing in it that could be a column.
        b'[' | b'{' => Some(Cell::List(text.to_owned())),
        _ if text.contains(['.', 'e', 'E']) => text.parse().ok().map(Cell::Float),
        _ => text.parse().map(Cell::Int).or_else(|_| text.parse().map(Cell::Float)).ok(),
    }
}

/// A residual column by path.
#[derive(Debug, Clone)]
pub(crate) struct Residual {
    codes: Vec<u32>,
    by_path: AHashMap<Box<str>, Vec<(u32, Cell)>>,
    size_bytes: usize,
}

impl Residual {
    /// Takes a residual column apart.
    pub(crate) fn new(column: &Coded) -> Result<Self, serde_json::Error> {
        let mut by_path: AHashMap<Box<str>, Vec<(u32, Cell)>> = AHashMap::new();
        let mut size_bytes = column.codes.len() * 4;
        for (entry, text) in column.entries.iter().enumerate() {
            let Cell::Text(text) = text else { continue };
            for (path, cell) in parse(text)? {
                size_bytes += 16 + cell_bytes(&cell);
                if let Some(cells) = by_path.get_mut(path.as_str()) {
                    cells.push((code(entry), cell));
                } else {
                    size_bytes += 64 + path.as_str().len();
                    by_path.insert(path.as_str().into(), vec![(code(entry), cell)]);
                }
            }
        }
        Ok(Self { codes: column.codes.clone(), by_path, size_bytes })
    }

    /// The values of one path, coded; none when no row has it.
    pub(crate) fn column(&self, path: &PropertyPath) -> Option<Coded> {
        let cells = self.by_path.get(path.as_str())?;
        let highest = cells.iter().map(|(entry, _)| index(*entry)).max().unwrap_or(0);
        let mut local = vec![ABSENT; highest + 1];
        let mut entries = Vec::with_capacity(cells.len());
        for (entry, cell) in cells {
            if let Some(slot) = local.get_mut(index(*entry)) {
                *slot = code(entries.len());
            }
            entries.push(cell.clone());
        }
        let codes = self.codes.iter().map(|entry| local.get(index(*entry)).copied().unwrap_or(ABSENT)).collect();
        Some(Coded { codes, entries })
    }

    /// The properties in it.
    pub(crate) fn paths(&self) -> impl Iterator<Item = PropertyPath> {
        self.by_path.keys().map(|path| PropertyPath::from_checked(path))
    }

    /// Memory it takes, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_comes_back_exactly() {
        let cells = [
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(i64::MIN),
            Cell::Float(1.0),
            Cell::Float(-0.0),
            Cell::Float(5e-324),
            Cell::Float(1.797_693_134_862_315_7e308),
            Cell::Float(0.1 + 0.2),
            Cell::Text("\"\u{1f600}\\\u{7}".to_owned()),
            Cell::List("[1.50, {\"a\":[]} ]".to_owned()),
            Cell::List("{}".to_owned()),
        ];
        let mut text = String::new();
        let mut expected = Vec::new();
        for (number, cell) in cells.into_iter().enumerate() {
            let path = PropertyPath::from_checked(&format!("p\"{number}.ü"));
            assert!(fits(&cell), "{cell:?}");
            push(&mut text, &path, &cell);
            expected.push((path, cell));
        }
        text.push('}');
        assert_eq!(parse(&text).unwrap(), expected, "{text}");
    }

    #[test]
    fn what_would_not_come_back_does_not_fit() {
        for cell in [Cell::List("[1".to_owned()), Cell::List(" []".to_owned()), Cell::Float(f64::NAN)] {
            assert!(!fits(&cell), "{cell:?}");
        }
    }
}
