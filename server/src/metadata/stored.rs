//! What can be done to projects and keys. Whatever is written here is in memory before the call returns.

use protocol::access::KeyOptions;
use protocol::{Key, KeyHash, KeyKind, KeyRecord, Permit, ProjectId, ProjectSettings};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::dropped;
use super::{Metadata, MetadataError, new_key, random};
use crate::sealing::Sealing;

/// Keys of one project at most, revoked ones included; they all stand in memory.
pub(super) const KEYS_MAX: i64 = 10_000;
/// What the secret is checked with.
const CHECK: &[u8] = b"rivulet sealing check";
const CHECK_PLACE: &str = "check";

/// A new project and its first keys.
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

/// A project that is to be made.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProjectDraft<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Whether its keys are shown once and then never kept.
    pub show_once: bool,
    /// The organization that makes it.
    pub organization: Option<&'a str>,
}

/// A project as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedProject {
    /// Its id.
    pub id: ProjectId,
    /// What it is called.
    pub name: String,
    /// Whether its keys are shown once.
    pub show_once: bool,
    /// The organization that made it.
    pub organization: Option<String>,
}

/// What the owner of a key says of it; `POST …/keys` and the command line make and replace keys by it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeyDraft {
    /// Given by its owner.
    pub name: String,
    /// False while it is revoked.
    pub is_active: bool,
    /// What it may do.
    pub permitted: Vec<Permit>,
    /// What narrows that.
    pub options: KeyOptions,
}

/// A key as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedKey {
    /// Hex of the hash, by which it is revoked.
    pub hash: String,
    /// The key itself; none when its project shows keys once, or the secret is not there to open it.
    pub key: Option<Key>,
    /// Given by its owner.
    pub name: String,
    /// Its last four characters.
    pub last4: String,
    /// What it may do.
    pub record: KeyRecord,
}

impl Metadata {
    /// Makes a project with a master, a read and a write key.
    ///
    /// # Errors
    /// When SQLite, the secret or the source of random bytes fails; nothing is kept then.
    pub fn create_project(&self, name: &str, now_ms: i64) -> Result<NewProject, MetadataError> {
        self.make_project(&ProjectDraft { name, ..ProjectDraft::default() }, now_ms)
    }

    /// Makes a project with a master, a read and a write key.
    ///
    /// # Errors
    /// As [`Metadata::create_project`].
    pub fn make_project(&self, draft: &ProjectDraft<'_>, now_ms: i64) -> Result<NewProject, MetadataError> {
        let id = ProjectId::from_random(random()?);
        let (master, read, write) = (new_key(KeyKind::Master)?, new_key(KeyKind::Read)?, new_key(KeyKind::Write)?);
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO project (id, name, created_at_ms, show_once, organization) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id.as_str(), draft.name, now_ms, draft.show_once, draft.organization],
            )?;
            for key in [&master, &read, &write] {
                let record = KeyRecord::new(id.clone(), key.kind());
                self.insert_key(transaction, key, &record, "", now_ms)?;
            }
            Ok(())
        })?;
        Ok(NewProject { id, master, read, write })
    }

    /// Projects, oldest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn projects(&self) -> Result<Vec<ListedProject>, MetadataError> {
        list_projects(&self.lock(), "SELECT id, name, show_once, organization FROM project ORDER BY rowid", [])
    }

    /// Projects of an organization, oldest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn projects_of(&self, organization: &str) -> Result<Vec<ListedProject>, MetadataError> {
        let sql = "SELECT id, name, show_once, organization FROM project WHERE organization = ?1 ORDER BY rowid";
        list_projects(&self.lock(), sql, [organization])
    }

    /// One project.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn project(&self, id: &ProjectId) -> Result<Option<ListedProject>, MetadataError> {
        let sql = "SELECT id, name, show_once, organization FROM project WHERE id = ?1";
        Ok(list_projects(&self.lock(), sql, [id.as_str()])?.pop())
    }

    /// Whether the project's keys are shown once from now on. When they are, the sealed ones are destroyed.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn show_once(&self, project: &ProjectId, once: bool) -> Result<(), MetadataError> {
        self.write(|transaction| {
            let id = project.as_str();
            transaction.execute("UPDATE project SET show_once = ?1 WHERE id = ?2", params![once, id])?;
            if once {
                transaction.execute("UPDATE key SET sealed = NULL WHERE project = ?1", [id])?;
                transaction.execute("DELETE FROM scope_secret WHERE project = ?1", [id])?;
            }
            Ok(())
        })?;
        dropped::scrub(&self.lock())?;
        Ok(())
    }

    /// Puts a project's settings.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn put_settings(&self, project: &ProjectId, settings: &ProjectSettings) -> Result<(), MetadataError> {
        let text = serde_json::to_string(settings)?;
        self.write(|transaction| {
            let row = [text.as_str(), project.as_str()];
            transaction.execute("UPDATE project SET settings = ?1 WHERE id = ?2", row)?;
            Ok(())
        })
    }

    /// The settings of a project; none when there is no such project.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn settings(&self, project: &ProjectId) -> Result<Option<std::sync::Arc<ProjectSettings>>, MetadataError> {
        self.refresh()?;
        Ok(self.snapshot().projects.get(project).cloned())
    }

    /// Makes one more key.
    ///
    /// # Errors
    /// When there are too many, or SQLite or the secret fails; SQLite does for a project that doesn't exist.
    pub fn create_key(
        &self,
        project: &ProjectId,
        kind: KeyKind,
        draft: KeyDraft,
        now_ms: i64,
    ) -> Result<ListedKey, MetadataError> {
        let key = new_key(kind)?;
        let KeyDraft { name, is_active, permitted, options } = draft;
        let record = KeyRecord { project: project.clone(), kind, is_active, permitted, options };
        self.write(|transaction| self.insert_key(transaction, &key, &record, &name, now_ms))?;
        Ok(ListedKey { hash: key.hash().to_hex(), key: Some(key), name, last4: key.last4().to_owned(), record })
    }

    /// The keys of a project, oldest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn keys(&self, project: &ProjectId) -> Result<Vec<ListedKey>, MetadataError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare("SELECT hash, name, last4, record, sealed FROM key WHERE project = ?1 ORDER BY rowid")?;
        let mut rows = statement.query([project.as_str()])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.push(listed(row, &self.sealing)?);
        }
        Ok(keys)
    }

    /// The key of a project with this hash.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn key(&self, project: &ProjectId, hash: &KeyHash) -> Result<Option<ListedKey>, MetadataError> {
        find_key(&self.lock(), &self.sealing, project, hash)
    }

    /// Replaces what the key may do and is called; none when the project has no such key.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn replace_key(
        &self,
        project: &ProjectId,
        hash: &KeyHash,
        draft: &KeyDraft,
    ) -> Result<Option<ListedKey>, MetadataError> {
        self.change(project, hash, |key| {
            key.name.clone_from(&draft.name);
            key.record.is_active = draft.is_active;
            key.record.permitted.clone_from(&draft.permitted);
            key.record.options.clone_from(&draft.options);
        })
    }

    /// Revokes the key, or takes that back; none when the project has no such key.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn set_active(
        &self,
        project: &ProjectId,
        hash: &KeyHash,
        is_active: bool,
    ) -> Result<Option<ListedKey>, MetadataError> {
        self.change(project, hash, |key| key.record.is_active = is_active)
    }

    /// Deletes the key; false when the project has no such key. That it was there is kept for a while, so that the edge
    /// can be told.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn drop_key(&self, project: &ProjectId, hash: &KeyHash, now_ms: i64) -> Result<bool, MetadataError> {
        let (project, hash) = (project.as_str(), hash.to_hex());
        let found = self.write(|transaction| {
            let row = [hash.as_str(), project];
            let found = transaction.execute("DELETE FROM key WHERE hash = ?1 AND project = ?2", row)? > 0;
            if found {
                dropped::remember(transaction, project, &hash, now_ms)?;
            }
            Ok(found)
        })?;
        dropped::scrub(&self.lock())?;
        Ok(found)
    }

    /// Makes one more secret with which scoped keys of a project may have been made: the master key it had at Keen.
    ///
    /// # Errors
    /// When SQLite or the secret fails.
    pub fn import_scope_secret(&self, project: &ProjectId, secret: &str) -> Result<(), MetadataError> {
        self.ensure_fits()?;
        let sealed = self.sealing.seal(&crate::scoped::place(project), secret.as_bytes())?;
        self.write(|transaction| {
            let row = params![project.as_str(), sealed];
            transaction.execute("INSERT INTO scope_secret (project, sealed) VALUES (?1, ?2)", row)?;
            Ok(())
        })
    }

    /// Destroys every sealed key, so that the secret that is there now can seal new ones.
    ///
    /// # Errors
    /// When SQLite or the secret fails.
    pub fn forget_sealed(&self) -> Result<(), MetadataError> {
        let sealed = self.sealing.seal(CHECK_PLACE, CHECK)?;
        self.write(|transaction| {
            transaction.execute_batch(
                "UPDATE key SET sealed = NULL; DELETE FROM scope_secret; DELETE FROM salt; DELETE FROM sealed_check;",
            )?;
            transaction.execute("INSERT INTO sealed_check VALUES (1, ?1)", [sealed])?;
            Ok(())
        })?;
        dropped::scrub(&self.lock())?;
        Ok(())
    }

    /// Makes an organization and gives its key, which is shown this once.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn create_organization(&self, name: &str, now_ms: i64) -> Result<(String, Key), MetadataError> {
        let (id, key) = (ProjectId::from_random(random()?), new_key(KeyKind::Organization)?);
        self.write(|transaction| {
            let row = params![id.as_str(), name, key.hash().to_hex(), now_ms];
            transaction
                .execute("INSERT INTO organization (id, name, key_hash, created_at_ms) VALUES (?1, ?2, ?3, ?4)", row)?;
            Ok(())
        })?;
        Ok((id.as_str().to_owned(), key))
    }

    /// The organization with this key.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn organization(&self, key: &KeyHash) -> Result<Option<String>, MetadataError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT id FROM organization WHERE key_hash = ?1")?;
        Ok(statement.query_row([key.to_hex()], |row| row.get(0)).optional()?)
    }

    /// Runs `work` in a transaction and brings what it did to memory.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, MetadataError>,
    ) -> Result<T, MetadataError> {
        let done = {
            let mut connection = self.lock();
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            done
        };
        self.refresh()?;
        Ok(done)
    }

    fn change(
        &self,
        project: &ProjectId,
        hash: &KeyHash,
        change: impl FnOnce(&mut ListedKey),
    ) -> Result<Option<ListedKey>, MetadataError> {
        self.write(|transaction| {
            let Some(mut key) = find_key(transaction, &self.sealing, project, hash)? else { return Ok(None) };
            change(&mut key);
            let record = serde_json::to_string(&key.record)?;
            let row = [key.name.as_str(), record.as_str(), key.hash.as_str()];
            transaction.execute("UPDATE key SET name = ?1, record = ?2 WHERE hash = ?3", row)?;
            Ok(Some(key))
        })
    }

    fn ensure_fits(&self) -> Result<(), MetadataError> {
        if self.fits { Ok(()) } else { Err(MetadataError::OtherSecret) }
    }

    fn insert_key(
        &self,
        transaction: &Transaction<'_>,
        key: &Key,
        record: &KeyRecord,
        name: &str,
        now_ms: i64,
    ) -> Result<(), MetadataError> {
        let project = record.project.as_str();
        let count = "SELECT count(*) FROM key WHERE project = ?1";
        if transaction.query_row(count, [project], |row| row.get::<_, i64>(0))? >= KEYS_MAX {
            return Err(MetadataError::TooManyKeys);
        }
        let once = "SELECT show_once FROM project WHERE id = ?1";
        let hash = key.hash().to_hex();
        let sealed = match transaction.query_row(once, [project], |row| row.get::<_, bool>(0)).optional()? {
            Some(true) => None,
            _ => {
                self.ensure_fits()?;
                Some(self.sealing.seal(&hash, key.reveal().as_bytes())?)
            }
        };
        transaction.execute(
            "INSERT INTO key (hash, project, name, last4, record, created_at_ms, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![hash, project, name, key.last4(), serde_json::to_string(record)?, now_ms, sealed],
        )?;
        Ok(())
    }
}

impl KeyDraft {
    /// A key with the permits of its kind; `options` narrow them.
    #[must_use]
    pub fn of_kind(kind: KeyKind, name: &str, options: KeyOptions) -> Self {
        let permitted = KeyRecord::permits_of(kind);
        Self { name: name.to_owned(), is_active: true, permitted, options }
    }
}

/// Whether this secret is the one of the file; the first to ask makes it so.
pub(super) fn check_secret(connection: &Connection, sealing: &Sealing) -> Result<bool, MetadataError> {
    let sealed = sealing.seal(CHECK_PLACE, CHECK)?;
    connection.execute("INSERT OR IGNORE INTO sealed_check VALUES (1, ?1)", [sealed])?;
    let found: Vec<u8> = connection.query_row("SELECT sealed FROM sealed_check", [], |row| row.get(0))?;
    Ok(sealing.unseal(CHECK_PLACE, &found).as_deref() == Some(CHECK))
}

fn find_key(
    connection: &Connection,
    sealing: &Sealing,
    project: &ProjectId,
    hash: &KeyHash,
) -> Result<Option<ListedKey>, MetadataError> {
    let sql = "SELECT hash, name, last4, record, sealed FROM key WHERE project = ?1 AND hash = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([project.as_str(), &hash.to_hex()])?;
    rows.next()?.map(|row| listed(row, sealing)).transpose()
}

fn listed(row: &Row<'_>, sealing: &Sealing) -> Result<ListedKey, MetadataError> {
    let hash: String = row.get(0)?;
    let sealed: Option<Vec<u8>> = row.get(4)?;
    let text = sealed.and_then(|sealed| sealing.unseal(&hash, &sealed));
    let key = text.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
    let record = serde_json::from_str(&row.get::<_, String>(3)?)?;
    Ok(ListedKey { hash, key, name: row.get(1)?, last4: row.get(2)?, record })
}

fn list_projects(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<ListedProject>, MetadataError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut projects = Vec::new();
    while let Some(row) = rows.next()? {
        // Only we make ids; one that is none belongs to nobody.
        let Ok(id) = row.get::<_, String>(0)?.parse() else { continue };
        projects.push(ListedProject { id, name: row.get(1)?, show_once: row.get(2)?, organization: row.get(3)? });
    }
    Ok(projects)
}
