//! The tables of the metadata, and how a file of an older program becomes one of this.
//!
//! A new file walks the same way through all versions, so that there is one description of the tables.

use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::{Value, json};

use super::MetadataError;

/// Version of the tables, kept in SQLite's `user_version`.
pub(super) const VERSION: i64 = 2;

const FIRST: &str = "
    CREATE TABLE project (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE key (
        hash TEXT PRIMARY KEY,
        project TEXT NOT NULL REFERENCES project (id),
        name TEXT NOT NULL,
        last4 TEXT NOT NULL,
        record TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL
    ) STRICT;
";

/// Settings, sealed keys, organizations, keys that were deleted, salts, and the secrets of scoped keys.
const SECOND: &str = "
    CREATE TABLE organization (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        key_hash TEXT NOT NULL UNIQUE,
        created_at_ms INTEGER NOT NULL
    ) STRICT;
    ALTER TABLE project ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE project ADD COLUMN show_once INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE project ADD COLUMN organization TEXT REFERENCES organization (id);
    ALTER TABLE key ADD COLUMN sealed BLOB;
    CREATE INDEX key_of_project ON key (project);
    CREATE TABLE dropped_key (
        hash TEXT PRIMARY KEY,
        project TEXT NOT NULL,
        dropped_at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE salt (
        day INTEGER PRIMARY KEY,
        sealed BLOB NOT NULL
    ) STRICT;
    CREATE TABLE scope_secret (
        project TEXT NOT NULL REFERENCES project (id),
        sealed BLOB NOT NULL
    ) STRICT;
    CREATE TABLE sealed_check (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        sealed BLOB NOT NULL
    ) STRICT;
";

/// Brings the tables up to date, whole or not at all.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), MetadataError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
    if !(0..=VERSION).contains(&found) {
        return Err(MetadataError::Version { found });
    }
    if found < 1 {
        transaction.execute_batch(FIRST)?;
    }
    if found < 2 {
        transaction.execute_batch(SECOND)?;
        move_filters(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Version 1 had one option of keys, `query_filters`; it is `options.queries.filters` now.
fn move_filters(transaction: &Transaction<'_>) -> Result<(), MetadataError> {
    let mut statement = transaction.prepare("SELECT hash, record FROM key")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (hash, text): (String, String) = (row.get(0)?, row.get(1)?);
        let mut record: Value = serde_json::from_str(&text)?;
        let filters = record.as_object_mut().and_then(|members| members.remove("query_filters"));
        if let (Some(filters), Some(members)) = (filters, record.as_object_mut()) {
            members.insert("options".to_owned(), json!({ "queries": { "filters": filters } }));
            transaction.execute("UPDATE key SET record = ?1 WHERE hash = ?2", [record.to_string(), hash])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use collector::PresentedKey;
    use protocol::access::Access;
    use protocol::{Key, KeyKind};

    use super::*;
    use crate::metadata::tests::Folder;
    use crate::metadata::{FILE, Metadata};

    #[test]
    fn a_file_of_version_1_keeps_its_projects_keys_and_filters() {
        let folder = Folder::new("version-1");
        let (read, write) = (Key::from_random(KeyKind::Read, [1; 28]), Key::from_random(KeyKind::Write, [2; 28]));
        {
            let old = Connection::open(folder.0.join(FILE)).unwrap();
            old.execute_batch(FIRST).unwrap();
            old.execute_batch("PRAGMA user_version = 1; INSERT INTO project VALUES ('p', 'shop', 7)").unwrap();
            let filter = r#"{"property_name":"a","operator":"eq","property_value":1}"#;
            for (key, record) in [
                (
                    &read,
                    format!(
                        r#"{{"project":"p","kind":"read","is_active":true,"permitted":["queries"],"query_filters":[{filter}]}}"#
                    ),
                ),
                (&write, r#"{"project":"p","kind":"write","is_active":false,"permitted":["writes"]}"#.to_owned()),
            ] {
                let row = [key.hash().to_hex(), "named".to_owned(), key.last4().to_owned(), record];
                old.execute("INSERT INTO key VALUES (?1, 'p', ?2, ?3, ?4, 8)", row).unwrap();
            }
        }
        for _ in 0..2 {
            let metadata = Metadata::open(&folder.0).unwrap();
            let project = "p".parse().unwrap();
            let access = |key: &Key| metadata.access(Some(&project), &PresentedKey::Ours(key.hash())).unwrap();
            let Access::Known(grant) = access(&read) else { panic!("the read key is gone") };
            assert_eq!(grant.key.query_filters().len(), 1);
            assert_eq!(grant.settings, std::sync::Arc::default());
            assert_eq!(access(&write), Access::UnknownKey, "a revoked key came back");
            let listed = metadata.keys(&project).unwrap();
            assert_eq!(listed.iter().map(|key| (&*key.name, key.key)).collect::<Vec<_>>(), [("named", None); 2]);
            let found = metadata.project(&project).unwrap().unwrap();
            assert_eq!((&*found.name, found.show_once), ("shop", false));
        }
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused() {
        let folder = Folder::new("newer");
        drop(Metadata::open(&folder.0).unwrap());
        let newer = VERSION + 1;
        Connection::open(folder.0.join(FILE)).unwrap().pragma_update(None, "user_version", newer).unwrap();
        assert!(matches!(Metadata::open(&folder.0), Err(MetadataError::Version { found }) if found == newer));
    }
}
