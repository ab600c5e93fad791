//! Opens a folder: takes its lock, believes its manifest, moves aside what a crash left, and checks segments.
//!
//! Nothing is deleted but files that a deletion had taken away already. A manifest that is damaged, or missing beside segments, stops the start before anything is
//! touched.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use protocol::Offset;

use crate::cache::Cache;
use crate::error::StoreError;
use crate::files::{Files, RealFiles};
use crate::manifest::{Manifest, NotReplaced};
use crate::numbers::Numberings;
use crate::schema::Schemas;
use crate::segment::{Entry, Segment};
use crate::tail::State;
use crate::{Options, Store, lock};

const SEGMENTS: &str = "segments";
const ORPHANS: &str = "orphans";
const LOCK: &str = "lock";

/// What was found when the store was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Segments in the manifest.
    pub segments: usize,
    /// Their rows.
    pub rows: u64,
    /// Files that no manifest names, left by a crash; now in the folder `orphans`.
    pub orphans: Vec<String>,
    /// Segments that failed their check so far.
    pub damaged: Vec<Damage>,
}

/// A segment whose bytes are not those that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, left where it was.
    pub path: PathBuf,
    /// Rows that can't be read.
    pub rows: u64,
    /// What is wrong.
    pub why: String,
}

impl Store {
    /// Opens the store in `dir`, which is made if missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Manifest`], or the disk's. Damaged segments are no error here; they are
    /// in [`Store::recovery`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(RealFiles), dir, options)
    }

    /// [`Store::open`] on another disk.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(files: Arc<dyn Files>, dir: &Path, options: Options) -> Result<Self, StoreError> {
        let segments_dir = dir.join(SEGMENTS);
        for dir in [dir, &segments_dir, &dir.join(ORPHANS)] {
            files.create_dir(dir).map_err(StoreError::io("make", dir))?;
        }
        let lock = take_lock(dir)?;
        let manifest = load(files.as_ref(), dir, &segments_dir)?;
        let orphans = move_orphans(files.as_ref(), dir, &manifest)?;
        let cache = Arc::new(Cache::new(options.cache_bytes_max));
        let open = |entry: &Entry| Arc::new(Segment::new(&segments_dir, entry.clone(), files.clone(), cache.clone()));
        let segments: Vec<Arc<Segment>> = manifest.segments.iter().map(open).collect();
        let recovery = Recovery {
            segments: segments.len(),
            rows: segments.iter().map(|segment| segment.entry.rows).sum(),
            orphans,
            damaged: check(&segments, options.verify_bytes_max)?,
        };
        Ok(Self {
            dir: dir.to_path_buf(),
            cache,
            numberings: Numberings::new(options.numbers_bytes_max),
            recovery,
            numbers: AtomicU64::new(manifest.next_segment),
            state: Mutex::new(State::new(segments, Schemas::load(&manifest.collections), &manifest)),
            appending: Mutex::default(),
            flushing: Mutex::default(),
            compacting: Mutex::default(),
            manifest: Mutex::new(manifest),
            commit_unknown: AtomicBool::new(false),
            files,
            options,
            _lock: lock,
        })
    }

    /// What was found when the store was opened.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Segments that failed their check since the store was opened, those of [`Recovery`] among them.
    #[must_use]
    pub fn damaged(&self) -> Vec<Damage> {
        let segments = lock(&self.state).segments.clone();
        segments.iter().filter_map(|segment| segment.known_damage()).collect()
    }

    /// The first record of the log whose rows are not in segments: where to read on after a restart.
    #[must_use]
    pub fn committed(&self) -> Offset {
        lock(&self.manifest).committed
    }

    /// The folder of the segments.
    pub(crate) fn segments_dir(&self) -> PathBuf {
        self.dir.join(SEGMENTS)
    }
}

fn take_lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(StoreError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
    }
}

/// Reads the manifest. A new folder gets an empty one at once, so that later its absence means that it was lost.
fn load(files: &dyn Files, dir: &Path, segments_dir: &Path) -> Result<Manifest, StoreError> {
    if let Some(manifest) = Manifest::read(files, dir)? {
        return Ok(manifest);
    }
    let found = files.list(segments_dir).map_err(StoreError::io("list", segments_dir))?;
    if !found.is_empty() {
        let why = format!("it is missing, but there are {} segments", found.len());
        return Err(StoreError::Manifest { path: dir.join(crate::manifest::FILE), why });
    }
    // The folder itself may be new too.
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        files.sync_dir(parent).map_err(StoreError::io("sync", parent))?;
    }
    let manifest = Manifest::default();
    manifest.replace(files, dir).map_err(|(NotReplaced::Kept(error) | NotReplaced::Unknown(error))| error)?;
    Ok(manifest)
}

/// Moves files that the manifest doesn't name out of the way of new ones.
fn move_orphans(files: &dyn Files, dir: &Path, manifest: &Manifest) -> Result<Vec<String>, StoreError> {
    let (segments, orphans) = (dir.join(SEGMENTS), dir.join(ORPHANS));
    let named: std::collections::BTreeSet<String> =
        manifest.segments.iter().chain(&manifest.graves).map(|entry| Entry::file_name(entry.number)).collect();
    let erased: Vec<String> = manifest.erased.iter().map(|number| Entry::file_name(*number)).collect();
    let mut taken = files.list(&orphans).map_err(StoreError::io("list", &orphans))?;
    let mut moved = Vec::new();
    for name in files.list(&segments).map_err(StoreError::io("list", &segments))? {
        if named.contains(&name) {
            continue;
        }
        if erased.contains(&name) {
            let path = segments.join(&name);
            files.remove(&path).map_err(StoreError::io("remove", &path))?;
            continue;
        }
        let mut free = name.clone();
        let mut copy = 1;
        while taken.contains(&free) {
            copy += 1;
            free = format!("{name}.{copy}");
        }
        let from = segments.join(&name);
        files.rename(&from, &orphans.join(&free)).map_err(StoreError::io("move", &from))?;
        taken.push(free.clone());
        moved.push(free);
    }
    if !moved.is_empty() {
        for dir in [&segments, &orphans] {
            files.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
        }
    }
    Ok(moved)
}

/// Compares segments with their checksums, newest first, as far as the budget of bytes goes.
fn check(segments: &[Arc<Segment>], mut budget_bytes: u64) -> Result<Vec<Damage>, StoreError> {
    let mut damaged = Vec::new();
    for segment in segments.iter().rev() {
        let Some(rest) = budget_bytes.checked_sub(segment.entry.size_bytes) else { break };
        budget_bytes = rest;
        match segment.check() {
            Ok(()) => {}
            Err(StoreError::Damaged { path, rows, why }) => damaged.push(Damage { path, rows, why }),
            Err(other) => return Err(other),
        }
    }
    Ok(damaged)
}
