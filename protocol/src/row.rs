//! An event as columns: what the processor hands to the store, and what queries compare.

use crate::{CollectionName, EventId, ProjectId, PropertyPath, Timestamp};

/// One value of one property of one event. JSON's types, with whole numbers kept apart from others.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// JSON `null`: present, without a value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits 64 bits, exact.
    Int(i64),
    /// Any other number, finite.
    Float(f64),
    /// A string.
    Text(String),
    /// A list, as its JSON text; also an object without properties (`{}`), which would otherwise be lost. Other objects
    /// never are cells: they become one cell per property.
    List(String),
}

/// One event, flat.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its project.
    pub project: ProjectId,
    /// Its collection.
    pub collection: CollectionName,
    /// `keen.id`.
    pub id: EventId,
    /// `keen.timestamp`: when it happened.
    pub timestamp: Timestamp,
    /// `keen.created_at`: when the collector received it.
    pub created_at: Timestamp,
    /// Every other property, each path once, in order of the event.
    pub cells: Vec<(PropertyPath, Cell)>,
}

/// What became of the events of some records besides rows, per project; committed together with the rows so that the
/// balance (acked = stored + duplicates + quarantined + in the log) is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tally {
    /// Events that became rows.
    pub stored: u64,
    /// Events whose id was known already.
    pub duplicates: u64,
    /// Events that were put in quarantine.
    pub quarantined: u64,
    /// Rows that were deleted since: of those counted as stored.
    pub deleted: u64,
}

impl Tally {
    /// Adds another tally to this one.
    pub const fn add(&mut self, other: Self) {
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.quarantined += other.quarantined;
        self.deleted += other.deleted;
    }
}
