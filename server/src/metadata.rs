//! Projects, keys and settings, in SQLite.
//!
//! A key is found by its SHA-256. The key itself is kept only sealed, under a secret that is not in this file (`sealing.rs`),
//! or not at all when its project has chosen so; a copy of this file opens nothing. The file may be changed by the command
//! line while a server runs: the server keeps a copy in memory, looks every few milliseconds whether another connection
//! wrote (`PRAGMA data_version`), and then reads it again.

mod dropped;
mod publish;
mod salt;
mod schema;
mod stored;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use collector::{PresentedKey, ScopedKey};
use protocol::access::{Access, Grant};
use protocol::{Key, KeyHash, KeyRecord, ProjectId, ProjectSettings};
use rusqlite::Connection;

use crate::config::KeySettings;
use crate::scoped;
use crate::sealing::{Sealing, SealingError};
pub use publish::Pair;
pub use stored::{KeyDraft, ListedKey, ListedProject, NewProject, ProjectDraft};

/// Name of the file in the data folder.
pub const FILE: &str = "metadata.sqlite";
/// Milliseconds to wait for another process that is writing.
const BUSY_MS: u64 = 5_000;
/// How old the copy in memory may be: a key that another process revokes stops so much later. Between, a look-up costs no
/// call of the system.
pub const STALE_MAX: Duration = Duration::from_millis(20);
/// Opened scoped keys that are remembered; when there are more, all are opened anew.
const OPENED_MAX: usize = 4_096;

/// Why metadata can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// SQLite failed.
    #[error("the metadata can't be read or written")]
    Sqlite(#[from] rusqlite::Error),
    /// A record in the file is not one this program reads.
    #[error("the metadata holds a record that can't be read")]
    Record(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("metadata has version {found}, this program reads {}", schema::VERSION)]
    Version {
        /// The version in the file.
        found: i64,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// There is no secret to seal with.
    #[error("keys can't be sealed")]
    Sealing(#[from] SealingError),
    /// The secret is not the one that sealed what is there; a key sealed now could not be opened beside the others.
    #[error(
        "the sealing secret is not the one of this folder's keys: put the right one back, or give up showing those keys \
         again with `rivulet key forget-sealed`"
    )]
    OtherSecret,
    /// The project has as many keys as it may.
    #[error("the project has {} keys, which is the limit", stored::KEYS_MAX)]
    TooManyKeys,
}

/// What is looked up for every request.
#[derive(Debug, Default)]
struct Snapshot {
    version: i64,
    projects: HashMap<ProjectId, Arc<ProjectSettings>>,
    keys: HashMap<KeyHash, Arc<KeyRecord>>,
    /// The secrets with which a project's scoped keys may have been made, sealed, by project.
    scope_secrets: HashMap<ProjectId, Vec<scoped::SealedSecret>>,
    /// Scoped keys that were opened before.
    opened: Mutex<HashMap<(ProjectId, KeyHash), Arc<KeyRecord>>>,
}

/// The metadata of one data folder.
#[derive(Debug)]
pub struct Metadata {
    /// The connection that writes.
    connection: Mutex<Connection>,
    /// The connection that looks for changes: those of the other one, too, are another's to it.
    watch: Mutex<Connection>,
    snapshot: RwLock<Arc<Snapshot>>,
    opened_at: Instant,
    /// When it was last looked for changes, in nanoseconds since [`Metadata::opened_at`].
    looked_ns: AtomicU64,
    sealing: Sealing,
    /// Whether [`Metadata::sealing`] is what the keys in the file are sealed with.
    fits: bool,
    salt: Mutex<salt::State>,
}

impl Metadata {
    /// Opens or makes the file in `dir`, with the secret's file beside it.
    ///
    /// # Errors
    /// As [`Metadata::open_with`].
    pub fn open(dir: &Path) -> Result<Self, MetadataError> {
        Self::open_with(dir, &KeySettings::default())
    }

    /// Opens or makes the file in `dir`; an older one is brought up to date.
    ///
    /// # Errors
    /// When SQLite can't open it, a newer program wrote it, or there is no secret to seal keys with.
    pub fn open_with(dir: &Path, settings: &KeySettings) -> Result<Self, MetadataError> {
        let mut connection = connect(dir)?;
        schema::migrate(&mut connection)?;
        let sealing = Sealing::open(dir, settings)?;
        let fits = stored::check_secret(&connection, &sealing)?;
        if !fits {
            tracing::warn!("the sealing secret is not the one of this folder's keys: they work, but none can be shown");
        }
        let metadata = Self {
            connection: Mutex::new(connection),
            watch: Mutex::new(connect(dir)?),
            snapshot: RwLock::default(),
            opened_at: Instant::now(),
            looked_ns: AtomicU64::new(0),
            sealing,
            fits,
            salt: Mutex::default(),
        };
        let first = load(&metadata.watching())?;
        metadata.put(first);
        Ok(metadata)
    }

    /// What `key` may do in `project`, or in its own project when none is named.
    ///
    /// A key that this process made or revoked counts at once, one that another process revoked within [`STALE_MAX`].
    /// Costs well below a microsecond, and a look at the file each [`STALE_MAX`] and for keys that are not known.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn access(&self, project: Option<&ProjectId>, key: &PresentedKey) -> Result<Access, MetadataError> {
        let has_looked = self.is_due();
        if has_looked {
            self.refresh()?;
        }
        let found = self.find(project, key);
        if has_looked || matches!((&found, key), (Access::Known(_), _) | (Access::UnknownKey, PresentedKey::None)) {
            return Ok(found);
        }
        // Another process may have made it a moment ago.
        self.refresh()?;
        Ok(self.find(project, key))
    }

    fn find(&self, project: Option<&ProjectId>, key: &PresentedKey) -> Access {
        let snapshot = self.snapshot();
        if project.is_some_and(|project| !snapshot.projects.contains_key(project)) {
            return Access::UnknownProject;
        }
        let record = match (key, project) {
            (PresentedKey::Ours(hash), _) => snapshot.keys.get(hash).map(Arc::clone),
            (PresentedKey::Scoped(key), Some(project)) => self.open_scoped(&snapshot, project, key),
            _ => None,
        };
        let record = record.filter(|record| record.is_active && project.is_none_or(|named| *named == record.project));
        let known = record.and_then(|key| {
            let settings = Arc::clone(snapshot.projects.get(&key.project)?);
            Some(Grant { key, settings })
        });
        known.map_or(Access::UnknownKey, Access::Known)
    }

    /// What a scoped key says it may do, if a secret of its project opens it.
    fn open_scoped(&self, snapshot: &Snapshot, project: &ProjectId, key: &ScopedKey) -> Option<Arc<KeyRecord>> {
        let name = (project.clone(), KeyHash::of(key.reveal()));
        let lock = || snapshot.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&name) {
            return Some(Arc::clone(known));
        }
        // Importing a secret turns its keys on; those of our own master keys wait for the project's owner to do it.
        let is_on = snapshot.projects.get(project)?.legacy_scoped_keys;
        let mut secrets = snapshot.scope_secrets.get(project)?.iter().filter(|sealed| is_on || !sealed.is_derived());
        let record = Arc::new(secrets.find_map(|sealed| {
            scoped::record(project, &sealed.open(&self.sealing)?, sealed.is_derived(), key.reveal())
        })?);
        let mut opened = lock();
        if opened.len() >= OPENED_MAX {
            opened.clear();
        }
        opened.insert(name, Arc::clone(&record));
        Some(record)
    }

    /// Whether it is time to look for changes; true for one caller at a time.
    fn is_due(&self) -> bool {
        let now_ns = u64::try_from(self.opened_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let looked_ns = self.looked_ns.load(Ordering::Relaxed);
        let stale_ns = u64::try_from(STALE_MAX.as_nanos()).unwrap_or(u64::MAX);
        now_ns.saturating_sub(looked_ns) >= stale_ns
            && self.looked_ns.compare_exchange(looked_ns, now_ns, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Reads everything again if another connection wrote; our own writes call this.
    fn refresh(&self) -> Result<(), MetadataError> {
        let watch = self.watching();
        let version: i64 = watch.prepare_cached(DATA_VERSION)?.query_row([], |row| row.get(0))?;
        if version != self.snapshot().version {
            self.put(load(&watch)?);
        }
        Ok(())
    }

    fn put(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn watching(&self) -> MutexGuard<'_, Connection> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while holding it leaves SQLite consistent: the open transaction is rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const DATA_VERSION: &str = "PRAGMA data_version";

fn connect(dir: &Path) -> Result<Connection, MetadataError> {
    let connection = Connection::open(dir.join(FILE))?;
    connection.busy_timeout(Duration::from_millis(BUSY_MS))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten: salts and sealed keys must be gone.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// Reads everything that is looked up. A row that can't be read is passed over and said: one row of a newer program must
/// not close all projects.
fn load(connection: &Connection) -> Result<Snapshot, MetadataError> {
    // Before the rows: a write in between is seen as one more change, never missed.
    let version = connection.prepare_cached(DATA_VERSION)?.query_row([], |row| row.get(0))?;
    let mut snapshot = Snapshot { version, ..Snapshot::default() };
    let mut statement = connection.prepare_cached("SELECT id, settings FROM project")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, settings): (String, String) = (row.get(0)?, row.get(1)?);
        match (id.parse(), serde_json::from_str(&settings)) {
            (Ok(id), Ok(settings)) => drop(snapshot.projects.insert(id, Arc::new(settings))),
            // Rather no project than one whose events are treated other than its owner has set.
            _ => tracing::error!(project = id, "the settings of a project can't be read; it is closed"),
        }
    }
    let mut statement = connection.prepare_cached("SELECT hash, record, sealed FROM key")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (hash, record): (String, String) = (row.get(0)?, row.get(1)?);
        let (Ok(name), Ok(record)) = (hash.parse::<KeyHash>(), serde_json::from_str::<KeyRecord>(&record)) else {
            tracing::error!(hash, "the record of a key can't be read; the key opens nothing");
            continue;
        };
        if let Some(secret) = scoped::SealedSecret::of_master(&hash, &record, row.get(2)?) {
            snapshot.scope_secrets.entry(record.project.clone()).or_default().push(secret);
        }
        snapshot.keys.insert(name, Arc::new(record));
    }
    let mut statement = connection.prepare_cached("SELECT project, sealed FROM scope_secret")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok(project) = row.get::<_, String>(0)?.parse::<ProjectId>() {
            let secret = scoped::SealedSecret::imported(&project, row.get(1)?);
            snapshot.scope_secrets.entry(project).or_default().push(secret);
        }
    }
    Ok(snapshot)
}

fn new_key(kind: protocol::KeyKind) -> Result<Key, MetadataError> {
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
pub(crate) mod tests;
