//! What can go wrong in the store, and which of the callers' error codes it answers with.
//!
//! Paths and causes are for the operator's log; [`StoreError::code`] is all that a caller may see.

use std::io;
use std::path::{Path, PathBuf};

use protocol::error::ErrorCode;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk refused.
    #[error("can't {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// Another process, or another `Store` of this one, has the folder open.
    #[error("{} is in use by another process", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The manifest is missing beside segments, damaged, or of a version this program doesn't know. Nothing was
    /// changed.
    #[error("manifest {}: {why}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A segment's bytes are not those that were written. Its rows can't be read; the file was left as it is.
    #[error("segment {} with {rows} rows is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Rows that the manifest says it holds.
        rows: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A commit of the manifest failed half-way, so it is unknown which of two states the disk holds; both are whole.
    /// Queries go on; flushes are refused until the store is opened again.
    #[error("a commit of the manifest failed; the store must be opened again")]
    CommitUnknown,
    /// The caller of [`crate::Store::execute`] asked to stop.
    #[error("the query was stopped")]
    Stopped,
    /// More groups than [`query::plan::Plan::groups_max`].
    #[error("the grouping makes more than {limit} groups")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// More distinct values than [`query::plan::Plan::unique_values_max`].
    #[error("there are more than {limit} distinct values to count")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// Something that the store itself should have made impossible.
    #[error("internal: {0}")]
    Internal(String),
}

impl StoreError {
    /// What a caller is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Stopped => ErrorCode::QueryTimeout,
            Self::TooManyGroups { .. } | Self::TooManyValues { .. } => ErrorCode::TooManyGroups,
            Self::CommitUnknown => ErrorCode::Unavailable,
            _ => ErrorCode::Internal,
        }
    }

    /// For `map_err`: names what was done to which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}
