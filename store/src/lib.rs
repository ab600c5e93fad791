//! Events as columns, and plans executed over them.
//!
//! Rows go into a hot tail in memory, where queries see them at once, and from there by [`Store::flush`] into Parquet
//! segments. A manifest commits rows, tallies and the queue's offset together, so after a crash the log is read again
//! from [`Store::committed`] and nothing is lost or counted twice. Queries run the same kernels over tail and
//! segments. Nothing outside this crate knows Parquet or Arrow; the crate knows no clock, network or async runtime.
//!
//! In a folder: `manifest`, `segments/<number>.parquet`, `orphans/` (files of a crash, kept but never read), `lock`.
//!
//! # Columns of a segment
//! Any tool that reads Parquet can read segments; rows are in order of `keen.timestamp`.
//!
//! | column | type | holds |
//! |---|---|---|
//! | `keen.id` | 16 bytes | the event's id |
//! | `keen.timestamp`, `keen.created_at` | UTC milliseconds | the row's times |
//! | `path#int`, `path#num`, `path#str`, `path#bool` | `INT64`, `DOUBLE`, string, boolean | a property's values of that type |
//! | `path#list` | string | its lists, and empty objects, as JSON text |
//! | `path#null` | boolean | true where it was sent as `null` |
//! | `residual` | string | properties without a column (beyond [`Options::columns_max`] in the collection, or in under 1 % of the rows) as a JSON object from path to value |
//! | `shape` | string | the names of the row's columns in the order of the event, `*` for the next of `residual`, as a JSON list |

mod block;
mod cache;
mod column;
mod compact;
mod delete;
mod error;
mod exec;
mod files;
mod flush;
mod manifest;
mod merge;
mod numbers;
mod open;
mod options;
mod read;
mod residual;
mod schema;
mod segment;
mod tail;

#[cfg(test)]
mod tests;

pub use compact::Compacted;
pub use delete::{Deleted, Deletion};
pub use error::StoreError;
pub use files::{Files, Output as FileOutput, RealFiles};
pub use open::{Damage, Recovery};
pub use options::Options;
pub use read::Described;
pub use tail::{Standing, TailState};

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cache::Cache;
use manifest::Manifest;
use numbers::Numberings;
use tail::State;

/// Rows of all projects, in one folder.
///
/// All methods take `&self` and may be called from several threads; those that touch the disk block. At most one
/// store has a folder open.
pub struct Store {
    dir: PathBuf,
    options: Options,
    files: Arc<dyn Files>,
    cache: Arc<Cache>,
    numberings: Numberings,
    recovery: Recovery,
    numbers: AtomicU64,
    /// What queries see. Held for moments only, never while reading or writing files.
    state: Mutex<State>,
    /// One append at a time, so that a block is made without holding `state`. Taken before `state`.
    appending: Mutex<()>,
    /// One flush at a time. Taken before all others.
    flushing: Mutex<()>,
    /// One compaction at a time.
    compacting: Mutex<()>,
    /// What is on disk; held while it is replaced. Taken before `state`.
    manifest: Mutex<Manifest>,
    commit_unknown: AtomicBool,
    /// Held for as long as the store lives.
    _lock: std::fs::File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Locks; a thread that panicked while holding it left no half-made state, because each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
