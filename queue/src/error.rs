//! Why an append was refused and why the log could not do something else.
//!
//! Two enums for two readers: [`AppendError`] decides what a sender is told, [`LogError`] is for the operator and
//! names files. Apart from the rest because every module makes them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::Offset;

use crate::frame::VERSION;

/// Why records were not acknowledged. `Clone`, because a group fails as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There was no record in the append.
    #[error("no records to append")]
    Empty,
    /// A record is too long, or all together are more than may ever wait. Never accepted later.
    #[error("{bytes} bytes to append, the limit is {limit_bytes} bytes")]
    TooLarge {
        /// Bytes of the record, or of all with their frames.
        bytes: u64,
        /// The limit: `record_bytes_max` or `queue_bytes_max`.
        limit_bytes: u64,
    },
    /// More records in one append than may ever wait. Never accepted later.
    #[error("{records} records to append, the limit is {limit_records} records")]
    TooMany {
        /// Records in the append.
        records: u64,
        /// The limit: `queue_records_max`.
        limit_records: u64,
    },
    /// Too much waits for the writer: the disk is slower than the senders. Nothing was written.
    #[error("{waiting_records} records of {waiting_bytes} bytes already wait to be written")]
    Busy {
        /// Records that wait.
        waiting_records: u64,
        /// Bytes that wait.
        waiting_bytes: u64,
    },
    /// The disk or the log has no room. The records are not in the log; writing goes on by itself when there is room.
    #[error("no room to append {bytes} bytes")]
    Full {
        /// Bytes of the group that found no room.
        bytes: u64,
    },
    /// A write or sync failed. No append is acknowledged until the log was reopened; this one may or may not be in
    /// it then.
    #[error("the log has failed and must be reopened: {reason}")]
    Failed {
        /// What failed first.
        reason: Arc<str>,
    },
    /// The log was closed before this append.
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    /// True when the same append may succeed in a few seconds without anybody doing anything.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Full { .. })
    }
}

/// Why the log could not be opened, read, trimmed, or a position kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Another log has the folder open, in this process or another.
    #[error("the log folder {dir} is in use by another process")]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// A segment was written by a version this program doesn't know. Nothing was changed.
    #[error("segment {path} has version {found}, this program reads {VERSION}")]
    Version {
        /// The segment.
        path: PathBuf,
        /// The version that stands in it.
        found: u32,
    },
    /// A segment's header names another first offset than its file name: it was renamed or copied. Nothing was changed.
    #[error("segment {path} says that it begins at offset {found}")]
    Misnamed {
        /// The segment.
        path: PathBuf,
        /// The offset in its header.
        found: Offset,
    },
    /// An option is out of bounds.
    #[error("{option} is {value}, it must be from {min} to {max}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
    /// A consumer's name has other characters or another length.
    #[error("a consumer's name is 1 to 64 letters, digits, '-' or '_', not {name:?}")]
    ConsumerName {
        /// The name.
        name: String,
    },
    /// A consumer's position can't be read. Nothing is trimmed until it was set by `Log::reset_consumer`.
    #[error("the position of consumer {name} in {path} is damaged")]
    ConsumerDamaged {
        /// The consumer.
        name: String,
        /// Its file.
        path: PathBuf,
    },
    /// A position lies behind the end of the log.
    #[error("position {position} is beyond the end of the log at {next}")]
    PositionAhead {
        /// The position.
        position: Offset,
        /// The first offset not yet synced.
        next: Offset,
    },
    /// A position lies before the consumer's last one.
    #[error("position {position} is before the committed position {committed}")]
    PositionBack {
        /// The position.
        position: Offset,
        /// What was committed before.
        committed: Offset,
    },
    /// The writer's thread could not be started.
    #[error("cannot start the writer thread: {source}")]
    Thread {
        /// The operating system's answer.
        source: io::Error,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Says what was tried on which path when an I/O call fails.
pub(crate) trait Tried<T> {
    /// `action` completes "cannot …".
    fn tried(self, action: &'static str, path: &Path) -> Result<T, LogError>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, action: &'static str, path: &Path) -> Result<T, LogError> {
        self.map_err(|source| LogError::Io { action, path: path.to_owned(), source })
    }
}
