//! Keys that were deleted: what must still be told to the edge, and that their bytes are gone from the disk.

use rusqlite::{Connection, Transaction, params};

use super::MetadataError;

/// Milliseconds for which a deleted key is published as one that opens nothing.
pub(super) const REMEMBERED_MS: i64 = 90 * 86_400_000;

/// Notes that a key was deleted, and forgets those deleted long ago.
pub(super) fn remember(
    transaction: &Transaction<'_>,
    project: &str,
    hash: &str,
    now_ms: i64,
) -> Result<(), MetadataError> {
    transaction.execute("INSERT OR REPLACE INTO dropped_key VALUES (?1, ?2, ?3)", params![hash, project, now_ms])?;
    let oldest_ms = now_ms.saturating_sub(REMEMBERED_MS);
    transaction.execute("DELETE FROM dropped_key WHERE dropped_at_ms < ?1", [oldest_ms])?;
    Ok(())
}

/// Moves what was overwritten in the write-ahead log into the file and empties that log, so that deleted bytes are in
/// neither. False when another reader held it up for long; call it again then.
pub(super) fn scrub(connection: &Connection) -> Result<bool, MetadataError> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))? == 0)
}
