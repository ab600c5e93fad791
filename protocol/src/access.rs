//! What a key may do: the record that SQLite and Workers KV keep for it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::query::Filter;
use crate::settings::ProjectSettings;
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
    /// What narrows its permits, in Keen's five groups.
    #[serde(default)]
    pub options: KeyOptions,
}

/// What narrows the permits of a key. All five groups stand in answers, null when unset, and clients send the nulls back.
///
/// A member that is not known is refused: a restriction that nobody reads would be none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyOptions {
    /// Of permit `writes`.
    pub writes: Option<WriteOptions>,
    /// Of permit `queries`.
    pub queries: Option<QueryOptions>,
    /// Of permit `saved_queries`.
    pub saved_queries: Option<SavedQueryOptions>,
    /// Of permit `cached_queries`.
    pub cached_queries: Option<SavedQueryOptions>,
    /// Of permit `datasets`.
    pub datasets: Option<DatasetOptions>,
}

/// What a key that writes may write, and from where.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteOptions {
    /// Merged deeply into every event; on conflict it wins, because it stops clients from forging what it sets.
    pub autofill: Option<Map<String, Value>>,
    /// Collections it may write to; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Origins from which a browser may use it (`https://shop.example`, or `https://*.shop.example` for every host below);
    /// none: all. A request without `Origin` is not from a browser's page and is refused when there is a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
}

/// What a key that asks may see.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryOptions {
    /// ANDed into every query it asks.
    pub filters: Vec<Filter>,
}

/// Which saved or cached queries a key may see.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SavedQueryOptions {
    /// Names it may see; having the list denies all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
    /// Names it may not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Vec<String>>,
    /// ANDed into every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Vec<Filter>>,
}

/// Which datasets a key may see, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatasetOptions {
    /// Of `read`, `list`, `retrieve`, `create`, `delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<String>>,
    /// By dataset: which values of its index may be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Map<String, Value>>,
    /// Names it may not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Vec<String>>,
}

impl KeyRecord {
    /// The permits that a new key of `kind` has.
    #[must_use]
    pub fn permits_of(kind: KeyKind) -> Vec<Permit> {
        match kind {
            KeyKind::Master | KeyKind::Access | KeyKind::Organization => Vec::new(),
            KeyKind::Read => {
                vec![Permit::Queries, Permit::SavedQueries, Permit::CachedQueries, Permit::Datasets, Permit::Schema]
            }
            KeyKind::Write => vec![Permit::Writes],
        }
    }

    /// The record of a new key of `kind` with the permits of its kind.
    #[must_use]
    pub fn new(project: ProjectId, kind: KeyKind) -> Self {
        let permitted = Self::permits_of(kind);
        Self { project, kind, is_active: true, permitted, options: KeyOptions::default() }
    }

    /// Filters ANDed into every ad-hoc query it asks.
    #[must_use]
    pub fn query_filters(&self) -> &[Filter] {
        self.options.queries.as_ref().map_or(&[], |options| options.filters.as_slice())
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
    /// The project exists; the key is unknown, revoked or of another project. Also when a request names no project (the
    /// compatible doors) and its key is unknown.
    UnknownKey,
    /// The project exists and this is what the key may do.
    Known(Grant),
}

/// A key that is known, and how its project wants its events treated. Shared, because it is looked up for every request.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// What the key may do.
    pub key: Arc<KeyRecord>,
    /// What the project's owner has set.
    pub settings: Arc<ProjectSettings>,
}

impl Access {
    /// A known key of a project with settings as they come.
    #[must_use]
    pub fn known(key: KeyRecord) -> Self {
        Self::Known(Grant { key: Arc::new(key), settings: Arc::default() })
    }
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
