//! What the edge must know of projects and keys, as the names and values of its KV store.
//!
//! The whole is published each time: writing a value that is there already changes nothing, and nothing has to be
//! remembered about what was published before.

use protocol::access::KeyOptions;
use protocol::{KeyKind, KeyRecord};
use serde::Serialize;

use super::{Metadata, MetadataError};

/// Seconds that a deleted key stands in KV as one that opens nothing, until KV itself forgets it.
const DROPPED_TTL_S: u32 = 86_400;

/// One line of `wrangler kv bulk put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// `project:<id>` or `key:<hash>`.
    pub key: String,
    /// JSON of the settings or of the record.
    pub value: String,
    /// When KV forgets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_ttl: Option<u32>,
}

impl Metadata {
    /// Everything that KV must hold: settings of all projects, records of all keys, revoked ones as inactive, and keys
    /// that were deleted lately as inactive until KV forgets them.
    ///
    /// # Errors
    /// When SQLite fails or a record can't be read.
    pub fn published(&self) -> Result<Vec<Pair>, MetadataError> {
        let connection = self.lock();
        let mut pairs = Vec::new();
        let mut statement = connection.prepare("SELECT id, settings FROM project ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key = format!("project:{}", row.get::<_, String>(0)?);
            pairs.push(Pair { key, value: row.get(1)?, expiration_ttl: None });
        }
        let mut statement = connection.prepare("SELECT hash, record FROM key ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let record: KeyRecord = serde_json::from_str(&row.get::<_, String>(1)?)?;
            pairs.push(pair(&row.get::<_, String>(0)?, &record, None)?);
        }
        let mut statement = connection.prepare("SELECT hash, project FROM dropped_key ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Ok(project) = row.get::<_, String>(1)?.parse() else { continue };
            let (kind, options) = (KeyKind::Access, KeyOptions::default());
            let record = KeyRecord { project, kind, is_active: false, permitted: Vec::new(), options };
            pairs.push(pair(&row.get::<_, String>(0)?, &record, Some(DROPPED_TTL_S))?);
        }
        Ok(pairs)
    }
}

fn pair(hash: &str, record: &KeyRecord, expiration_ttl: Option<u32>) -> Result<Pair, MetadataError> {
    Ok(Pair { key: format!("key:{hash}"), value: serde_json::to_string(record)?, expiration_ttl })
}
