//! One number for one value of a property, over all segments and queries.
//!
//! Groups and distinct values are told apart by these numbers instead of by texts. They are learnt as queries need
//! them, and with them what each dictionary entry of a segment has for a number, so a dashboard that asks again
//! compares no text at all. All of it is forgotten when it takes more than its budget: numbers mean nothing to
//! anybody outside, and a query that runs keeps those it started with.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ahash::AHashMap;
use protocol::PropertyPath;
use protocol::row::Cell;

use crate::column::{Dictionary, cell_bytes, index};
use crate::lock;
use crate::schema::Owner;

/// The numbers of all properties of all collections.
pub(crate) struct Numberings {
    budget_bytes: usize,
    next: AtomicU64,
    by_property: Mutex<AHashMap<(Owner, PropertyPath), Arc<Numbering>>>,
}

/// The numbers of one property's values.
pub(crate) struct Numbering {
    /// Never the same for two numberings, so that what was kept of an old one isn't taken for a new one's.
    pub(crate) id: u64,
    values: Mutex<Values>,
}

#[derive(Default)]
struct Values {
    dictionary: Dictionary,
    size_bytes: usize,
}

impl Numberings {
    /// Knows nothing yet; forgets beyond `budget_bytes`.
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, next: AtomicU64::new(1), by_property: Mutex::default() }
    }

    /// The numbers of a property's values.
    pub(crate) fn of(&self, owner: &Owner, path: &PropertyPath) -> Arc<Numbering> {
        let mut all = lock(&self.by_property);
        if all.values().map(|numbering| lock(&numbering.values).size_bytes).sum::<usize>() > self.budget_bytes {
            all.clear();
        }
        let fresh = || {
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            Arc::new(Numbering { id, values: Mutex::default() })
        };
        all.entry((owner.clone(), path.clone())).or_insert_with(fresh).clone()
    }
}

impl Numbering {
    /// The number of a value; [`query::canonical`] decides which values are one.
    pub(crate) fn number(&self, cell: &Cell) -> u32 {
        let canonical;
        let cell = match cell {
            Cell::Float(_) => {
                canonical = query::canonical(cell.clone());
                &canonical
            }
            _ => cell,
        };
        let mut values = lock(&self.values);
        let before = values.dictionary.len();
        let number = values.dictionary.code(cell);
        if values.dictionary.len() > before {
            // The value is kept twice, as a key and as an entry.
            values.size_bytes += 2 * cell_bytes(cell);
        }
        number
    }

    /// The value of a number, in its one spelling.
    pub(crate) fn cell(&self, number: u32) -> Cell {
        lock(&self.values).dictionary.get(number).cloned().unwrap_or(Cell::Null)
    }

    /// Values so far.
    pub(crate) fn len(&self) -> usize {
        lock(&self.values).dictionary.len()
    }
}

/// A dictionary entry whose number was not looked up yet.
const UNKNOWN: u32 = u32::MAX;
/// An entry that stands for another number of values than one.
const SEVERAL: u32 = u32::MAX - 1;

/// What the entries of one dictionary have for numbers, as far as they were looked up.
pub(crate) struct Numbered {
    numbers: Vec<AtomicU32>,
    several: Mutex<AHashMap<u32, Arc<[u32]>>>,
}

/// What an entry stands for.
pub(crate) enum Stands {
    /// One value.
    One(u32),
    /// The elements of a list; none for null.
    Several(Arc<[u32]>),
}

impl Numbered {
    /// For a dictionary with so many entries; nothing is looked up.
    pub(crate) fn new(entries: usize) -> Self {
        Self { numbers: (0..entries).map(|_| AtomicU32::new(UNKNOWN)).collect(), several: Mutex::default() }
    }

    /// What the entry with this code stands for; `look_up` is called if it isn't known. None for a code that is no
    /// entry's.
    pub(crate) fn get(&self, code: u32, look_up: impl FnOnce() -> Stands) -> Option<Stands> {
        let known = self.numbers.get(index(code))?;
        Some(match known.load(Ordering::Acquire) {
            UNKNOWN => {
                let stands = look_up();
                match &stands {
                    Stands::One(number) => known.store(*number, Ordering::Release),
                    Stands::Several(numbers) => {
                        lock(&self.several).insert(code, numbers.clone());
                        known.store(SEVERAL, Ordering::Release);
                    }
                }
                stands
            }
            SEVERAL => Stands::Several(lock(&self.several).get(&code).cloned().unwrap_or_else(|| Arc::new([]))),
            number => Stands::One(number),
        })
    }

    /// Memory it takes, roughly; lists come on top as they are looked up.
    pub(crate) fn size_bytes(&self) -> usize {
        self.numbers.len() * 4 + 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_number_until_the_budget_is_used_up() {
        let numberings = Numberings::new(1_000);
        let owner: Owner = ("p".parse().unwrap(), "c".parse().unwrap());
        let path: PropertyPath = "a".parse().unwrap();
        let first = numberings.of(&owner, &path);
        assert_eq!(first.number(&Cell::Float(1.0)), first.number(&Cell::Int(1)));
        assert_ne!(first.number(&Cell::Text("1".into())), first.number(&Cell::Int(1)));
        assert_eq!(numberings.of(&owner, &path).id, first.id);
        let long = Cell::Text("x".repeat(500));
        let number = first.number(&long);
        assert_ne!(numberings.of(&owner, &path).id, first.id, "forgotten");
        assert_eq!(first.cell(number), long, "but not by those who use it");
    }
}
