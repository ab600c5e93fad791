//! The embedded durable log: byte records in segment files, acknowledged after fsync, read by offset.
//!
//! It promises one thing: when an [`Appending`] resolves to an offset, that record survives a kill and a power cut, and
//! is read back once, in order, byte for byte. What happens on the way (one thread that writes, groups that share an
//! fsync, segments, recovery) is in the modules, one question each. The crate knows bytes and offsets, nothing of
//! events; every touch of the disk goes through [`Disk`], so that tests can break it ([`fault`]).
//!
//! # On disk
//!
//! | file | holds |
//! |---|---|
//! | `lock` | nothing; locked while a [`Log`] is open |
//! | `00000000000000000042.log` | a segment: a 32-byte header, then frames; named by the offset of its first record |
//! | `consumer-NAME` | a consumer's position, as text with a checksum |
//! | `cut-…` | bytes that recovery cut from a torn tail, for a person to look at; never read |
//!
//! # Example
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use queue::{fault::FaultDisk, Log, Options};
//! use protocol::Offset;
//!
//! let disk = Arc::new(FaultDisk::new()); // `RealDisk` outside tests
//! let (log, recovery) = Log::open(disk, Path::new("/data/log"), Options::default())?;
//! assert_eq!(recovery.records, 0);
//! let last = log.append(vec![b"one".to_vec(), b"two".to_vec()]).wait()?;
//! assert_eq!(last, Offset(1));
//! assert_eq!(log.read(Offset(1), 1024)?, [(Offset(1), b"two".to_vec())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod log;

mod shared;

mod writer;

mod pending;

mod recover;

mod scan;

mod segment;

mod frame;

mod consumer;

mod options;

mod error;

mod disk;

pub mod fault;

pub use consumer::Consumer;
pub use disk::{Disk, DiskFile, FolderLock, RealDisk};
pub use error::{AppendError, LogError};
pub use log::{Log, State};
pub use options::Options;
pub use pending::Appending;
pub use recover::{Cut, Damage, Recovery};
