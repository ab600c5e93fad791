//! Projects and keys, in SQLite.
//!
//! Of a key nothing is kept but its SHA-256, its kind and its last four characters, so a copy of this file opens
//! nothing. The file may be changed by the command line while a server runs: the server keeps a copy in memory and
//! reads it again when SQLite says that another connection wrote (`PRAGMA data_version`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use collector::PresentedKey;
use protocol::access::{Access, Grant, KeyOptions, QueryOptions};
use protocol::query::Filter;
use protocol::{Key, KeyKind, KeyRecord, ProjectId, ProjectSettings};
use rusqlite::{Connection, OptionalExtension, params};

/// Name of the file in the data folder.
pub const FILE: &str = "metadata.sqlite";
/// Milliseconds to wait for another process that is writing.
const BUSY_MS: u64 = 5_000;
/// Version of the tables, kept in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
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
    PRAGMA user_version = 1;
";

/// Why metadata can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// SQLite failed.
    #[error("the metadata can't be read or written")]
    Sqlite(#[from] rusqlite::Error),
    /// A record in the file is not one this program reads.
    #[error("the metadata holds a key record that can't be read")]
    Record(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("metadata has version {found}, this program reads {SCHEMA_VERSION}")]
    Version {
        /// The version in the file.
        found: i64,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[from] getrandom::Error),
}

/// A new project and its first keys; the only time they are shown.
#[derive(Debug)]
pub struct NewProject {
    /// The project.
    pub id: ProjectId,
    /// Opens everything.
    pub master: Key,
    /// Asks.
    pub read: Key,
    /// Appends.
    pub write: Key,
}

/// A key as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedKey {
    /// Hex of the hash, by which it is revoked.
    pub hash: String,
    /// Given by its owner.
    pub name: String,
    /// Its last four characters.
    pub last4: String,
    /// What it may do.
    pub record: KeyRecord,
}

/// What is looked up for every request.
#[derive(Debug, Default)]
struct Snapshot {
    version: i64,
    projects: HashMap<ProjectId, Arc<ProjectSettings>>,
    keys: HashMap<String, Arc<KeyRecord>>,
}

/// The metadata of one data folder.
#[derive(Debug)]
pub struct Metadata {
    connection: Mutex<Connection>,
    snapshot: Mutex<Arc<Snapshot>>,
}

impl Metadata {
    /// Opens or makes the file in `dir`.
    ///
    /// # Errors
    /// When SQLite can't open it or a newer program wrote it.
    pub fn open(dir: &Path) -> Result<Self, MetadataError> {
        let mut connection = Connection::open(dir.join(FILE))?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        match transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
            0 => transaction.execute_batch(SCHEMA)?,
            SCHEMA_VERSION => {}
            found => return Err(MetadataError::Version { found }),
        }
        transaction.commit()?;
        let metadata = Self { connection: Mutex::new(connection), snapshot: Mutex::default() };
        metadata.reload()?;
        Ok(metadata)
    }

    /// Makes a project with a master, a read and a write key.
    ///
    /// # Errors
    /// When SQLite or the source of random bytes fails; nothing is kept then.
    pub fn create_project(&self, name: &str, now_ms: i64) -> Result<NewProject, MetadataError> {
        let id = ProjectId::from_random(random()?);
        let (master, read, write) = (new_key(KeyKind::Master)?, new_key(KeyKind::Read)?, new_key(KeyKind::Write)?);
        {
            let mut connection = self.lock();
            let transaction = connection.transaction()?;
            transaction.execute("INSERT INTO project VALUES (?1, ?2, ?3)", params![id.as_str(), name, now_ms])?;
            for key in [&master, &read, &write] {
                let record = KeyRecord::new(id.clone(), key.kind());
                insert_key(&transaction, key, &record, "", now_ms)?;
            }
            transaction.commit()?;
        }
        self.reload()?;
        Ok(NewProject { id, master, read, write })
    }

    /// Makes one more key; `filters` are forced into every query it asks.
    ///
    /// # Errors
    /// When SQLite fails, as it does for a project that doesn't exist.
    pub fn create_key(
        &self,
        project: &ProjectId,
        kind: KeyKind,
        name: &str,
        filters: Vec<Filter>,
        now_ms: i64,
    ) -> Result<Key, MetadataError> {
        let key = new_key(kind)?;
        let queries = (!filters.is_empty()).then_some(QueryOptions { filters });
        let options = KeyOptions { queries, ..KeyOptions::default() };
        let record = KeyRecord { options, ..KeyRecord::new(project.clone(), kind) };
        insert_key(&self.lock(), &key, &record, name, now_ms)?;
        self.reload()?;
        Ok(key)
    }

    /// The keys of a project, oldest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn keys(&self, project: &ProjectId) -> Result<Vec<ListedKey>, MetadataError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare("SELECT hash, name, last4, record FROM key WHERE project = ?1 ORDER BY rowid")?;
        let mut rows = statement.query([project.as_str()])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let record = serde_json::from_str(&row.get::<_, String>(3)?)?;
            keys.push(ListedKey { hash: row.get(0)?, name: row.get(1)?, last4: row.get(2)?, record });
        }
        Ok(keys)
    }

    /// Revokes the key with this hash; false when the project has none.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn revoke(&self, project: &ProjectId, hash: &str) -> Result<bool, MetadataError> {
        let found = {
            let mut connection = self.lock();
            let transaction = connection.transaction()?;
            let stored: Option<String> = transaction
                .query_row("SELECT record FROM key WHERE project = ?1 AND hash = ?2", [project.as_str(), hash], |row| {
                    row.get(0)
                })
                .optional()?;
            if let Some(stored) = &stored {
                let record = KeyRecord { is_active: false, ..serde_json::from_str(stored)? };
                let text = serde_json::to_string(&record)?;
                transaction.execute("UPDATE key SET record = ?1 WHERE hash = ?2", [text.as_str(), hash])?;
            }
            transaction.commit()?;
            stored.is_some()
        };
        self.reload()?;
        Ok(found)
    }

    /// Projects with their names, oldest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn projects(&self) -> Result<Vec<(String, String)>, MetadataError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT id, name FROM project ORDER BY rowid")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What `key` may do in `project`, or in its own project when none is named. A key that another process made or
    /// revoked counts from the next call on.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn access(&self, project: Option<&ProjectId>, key: &PresentedKey) -> Result<Access, MetadataError> {
        let version = self.lock().pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0))?;
        if self.snapshot().version != version {
            self.reload()?;
        }
        let snapshot = self.snapshot();
        if project.is_some_and(|project| !snapshot.projects.contains_key(project)) {
            return Ok(Access::UnknownProject);
        }
        let record = key.hash().and_then(|key| snapshot.keys.get(&key.to_hex()));
        let record = record.filter(|record| record.is_active && project.is_none_or(|named| *named == record.project));
        let known = record.and_then(|record| Some((record, snapshot.projects.get(&record.project)?)));
        Ok(known.map_or(Access::UnknownKey, |(key, settings)| {
            Access::Known(Grant { key: Arc::clone(key), settings: Arc::clone(settings) })
        }))
    }

    /// Reads everything again. `data_version` moves only when another connection wrote, so our own writes call this.
    fn reload(&self) -> Result<(), MetadataError> {
        let connection = self.lock();
        // Before the rows: a write in between is seen as one more change, never missed.
        let version = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        let mut snapshot = Snapshot { version, ..Snapshot::default() };
        let mut projects = connection.prepare_cached("SELECT id FROM project")?;
        for id in projects.query_map([], |row| row.get::<_, String>(0))? {
            if let Ok(id) = id?.parse() {
                snapshot.projects.insert(id, Arc::default());
            }
        }
        let mut keys = connection.prepare_cached("SELECT hash, record FROM key")?;
        let mut rows = keys.query([])?;
        while let Some(row) = rows.next()? {
            snapshot.keys.insert(row.get(0)?, Arc::new(serde_json::from_str(&row.get::<_, String>(1)?)?));
        }
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while holding it leaves SQLite consistent: the open transaction is rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert_key(
    connection: &Connection,
    key: &Key,
    record: &KeyRecord,
    name: &str,
    now_ms: i64,
) -> Result<(), MetadataError> {
    connection.execute(
        "INSERT INTO key (hash, project, name, last4, record, created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            key.hash().to_hex(),
            record.project.as_str(),
            name,
            key.last4(),
            serde_json::to_string(record)?,
            now_ms
        ],
    )?;
    Ok(())
}

fn new_key(kind: KeyKind) -> Result<Key, MetadataError> {
    Ok(Key::from_random(kind, random()?))
}

/// Random bytes from the operating system.
///
/// # Errors
/// When it has none, which no supported system does after start-up.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("rivulet-metadata-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_project_opens_with_its_own_keys_only() {
        let folder = Folder::new("own");
        let metadata = Metadata::open(&folder.0).unwrap();
        let (a, b) = (metadata.create_project("a", 0).unwrap(), metadata.create_project("b", 0).unwrap());
        let access =
            |project: &ProjectId, key: &Key| metadata.access(Some(project), &PresentedKey::Ours(key.hash())).unwrap();
        assert!(matches!(access(&a.id, &a.write), Access::Known(grant) if grant.key.kind == KeyKind::Write));
        assert_eq!(access(&a.id, &b.write), Access::UnknownKey);
        assert_eq!(metadata.access(Some(&a.id), &PresentedKey::None).unwrap(), Access::UnknownKey);
        assert_eq!(access(&"nowhere".parse().unwrap(), &a.write), Access::UnknownProject);
    }

    #[test]
    fn what_another_process_writes_counts_at_once() {
        let folder = Folder::new("other");
        let (server, command) = (Metadata::open(&folder.0).unwrap(), Metadata::open(&folder.0).unwrap());
        let project = command.create_project("a", 0).unwrap();
        let hash = project.write.hash();
        let key = PresentedKey::Ours(hash);
        assert!(matches!(server.access(Some(&project.id), &key).unwrap(), Access::Known(_)));
        assert!(command.revoke(&project.id, &hash.to_hex()).unwrap());
        assert_eq!(server.access(Some(&project.id), &key).unwrap(), Access::UnknownKey);
        assert!(!command.revoke(&project.id, "no such key").unwrap());
    }

    #[test]
    fn no_key_stands_in_the_file() {
        let folder = Folder::new("hidden");
        let metadata = Metadata::open(&folder.0).unwrap();
        let project = metadata.create_project("a", 0).unwrap();
        drop(metadata);
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(&folder.0).unwrap() {
            bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        for key in [project.master, project.read, project.write] {
            let text = key.reveal().as_bytes();
            assert!(!bytes.windows(text.len()).any(|window| window == text));
        }
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused() {
        let folder = Folder::new("newer");
        drop(Metadata::open(&folder.0).unwrap());
        Connection::open(folder.0.join(FILE)).unwrap().pragma_update(None, "user_version", 2).unwrap();
        assert!(matches!(Metadata::open(&folder.0), Err(MetadataError::Version { found: 2 })));
    }

    #[test]
    fn a_key_needs_a_project_that_exists() {
        let folder = Folder::new("needs");
        let metadata = Metadata::open(&folder.0).unwrap();
        assert!(metadata.create_key(&"nowhere".parse().unwrap(), KeyKind::Read, "", Vec::new(), 0).is_err());
    }
}
