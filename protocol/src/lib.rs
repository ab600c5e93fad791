//! Words on the wire and on disk: ids, keys, events, queries, answers, error codes and limits.
//!
//! Every other crate speaks in these types, so a fact such as "a write key has 37 characters" is written once.
//! The crate does no I/O, reads no clock, draws no random numbers and knows nothing of how its words are moved;
//! times and random bytes are arguments. It builds natively and for wasm.

pub mod access;
pub mod answer;
pub mod batch;
pub mod error;
pub mod event;
pub mod id;
pub mod key;
pub mod limits;
pub mod query;
pub mod record;
pub mod row;
pub mod settings;
pub mod time;
pub mod writer;

pub use access::{Access, Grant, KeyRecord, Permit};
pub use error::{ErrorBody, ErrorCode, Refusal, Retry};
pub use event::{CollectionName, PropertyPath};
pub use id::{EventId, Offset, ProjectId};
pub use key::{Key, KeyHash, KeyKind};
pub use settings::ProjectSettings;
pub use time::Timestamp;
