//! What a key may do: the record that SQLite and Workers KV keep for it.

use serde::{Deserialize, Serialize};

use crate::query::Filter;
use crate::{KeyKind, ProjectId};

/// One thing a key may be permitted, in Keen's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permit {
    /// Append events.
    Writes,
    /// Ask ad-hoc queries.
    Queries,
    /// Ask saved queries.
    SavedQueries,
    /// Ask cached queries.
    CachedQueries,
    /// Ask datasets.
    Datasets,
    /// See the names and types of properties.
    Schema,
}

/// What is known of a key. Its name in a store is the hex of [`crate::KeyHash`]; the key itself is not here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// The one project it opens.
    pub project: ProjectId,
    /// What it was made for.
    pub kind: KeyKind,
    /// False once revoked; a revoked key answers like an unknown one.
    pub is_active: bool,
    /// What it may do. A master key may do everything whatever stands here.
    pub permitted: Vec<Permit>,
    /// Filters ANDed into every query it asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_filters: Vec<Filter>,
}

impl KeyRecord {
    /// The record of a new key of `kind` with the permits of its kind.
    #[must_use]
    pub fn new(project: ProjectId, kind: KeyKind) -> Self {
        let permitted = match kind {
            KeyKind::Master | KeyKind::Access => Vec::new(),
            KeyKind::Read => {
                vec![Permit::Queries, Permit::SavedQueries, Permit::CachedQueries, Permit::Datasets, Permit::Schema]
            }
            KeyKind::Write => vec![Permit::Writes],
        };
        Self { project, kind, is_active: true, permitted, query_filters: Vec::new() }
    }

    /// Whether the key may do this.
    #[must_use]
    pub fn may(&self, permit: Permit) -> bool {
        self.is_active && (self.kind == KeyKind::Master || self.permitted.contains(&permit))
    }
}

/// What a look-up of a project and a key found. Shells do the look-up; the cores decide on it.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// There is no such project, whatever the key.
    UnknownProject,
    /// The project exists; the key is unknown, revoked or of another project.
    UnknownKey,
    /// The project exists and this is what the key may do.
    Known(KeyRecord),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_open_what_they_are_for() {
        let project: ProjectId = "p".parse().unwrap();
        for (kind, writes, queries) in [
            (KeyKind::Master, true, true),
            (KeyKind::Write, true, false),
            (KeyKind::Read, false, true),
            (KeyKind::Access, false, false),
        ] {
            let mut record = KeyRecord::new(project.clone(), kind);
            assert_eq!((record.may(Permit::Writes), record.may(Permit::Queries)), (writes, queries), "{kind:?}");
            record.is_active = false;
            assert!(!record.may(Permit::Writes) && !record.may(Permit::Queries), "revoked {kind:?}");
        }
    }
}
