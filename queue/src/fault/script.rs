//! The words in which a test says what goes wrong: which call, on which path, when, how, and what a power cut leaves.
//!
//! Only data; [`super::FaultDisk`] acts on it.

#[cfg(doc)]
use crate::disk::{Disk, DiskFile};

/// What a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// [`Disk::list`].
    List,
    /// [`Disk::create`].
    Create,
    /// [`Disk::open`].
    Open,
    /// [`Disk::rename`]; the path is the old one.
    Rename,
    /// [`Disk::remove`].
    Remove,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`Disk::lock`].
    Lock,
    /// [`DiskFile::read_at`].
    Read,
    /// [`DiskFile::write_at`].
    Write,
    /// [`DiskFile::truncate`].
    Truncate,
    /// [`DiskFile::sync`].
    Sync,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// An input/output error (`EIO`). For a sync also: what it covered can be read but is never written.
    Broken,
    /// No space left (`ENOSPC`).
    Full,
    /// Interrupted (`EINTR`): to be tried again.
    Interrupted,
    /// At most so many bytes are read or written.
    Short(usize),
}

/// One entry of the script; made by [`Fault::new`].
#[derive(Debug, Clone)]
pub struct Fault {
    pub(super) op: Op,
    pub(super) effect: Effect,
    pub(super) path_part: String,
    pub(super) skip: u32,
    pub(super) times: u32,
}

impl Fault {
    /// Hits the next `op`, once.
    #[must_use]
    pub fn new(op: Op, effect: Effect) -> Self {
        Self { op, effect, path_part: String::new(), skip: 0, times: 1 }
    }

    /// Only on paths that contain this.
    #[must_use]
    pub fn on(mut self, path_part: &str) -> Self {
        path_part.clone_into(&mut self.path_part);
        self
    }

    /// Lets so many pass first.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Hits so many in a row.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

/// What is left of unsynced bytes and names after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// Nothing.
    Nothing,
    /// Everything, as if all had been written in time.
    Everything,
    /// Each sector of 512 bytes, each file's size and each name as the dice fall; a sector may be torn.
    Some {
        /// The same seed gives the same.
        seed: u64,
    },
}

/// Calls since the disk was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of [`DiskFile::write_at`].
    pub writes: u64,
    /// Calls of [`DiskFile::sync`].
    pub syncs: u64,
    /// Calls of [`Disk::sync_dir`].
    pub dir_syncs: u64,
}
