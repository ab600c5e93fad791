//! What one accepted request becomes in the log: the collector writes it, the processor reads it.
//!
//! The form is JSON text with a version, because a record also travels as a Cloudflare Queues message (which has no
//! binary form in crate `worker` 0.8) and because a person must be able to read one from quarantine.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{EventId, ProjectId, Timestamp};

/// The version this crate writes. Readers refuse others, so a change of meaning can't go unnoticed.
pub const VERSION: u32 = 1;

/// The accepted events of one request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record<'a> {
    /// [`VERSION`].
    pub v: u32,
    /// The project they belong to.
    pub project: ProjectId,
    /// When the collector received them: `keen.created_at`.
    pub received_at: Timestamp,
    /// At least one event, in order of the request.
    #[serde(borrow)]
    pub events: Vec<RecordEvent<'a>>,
}

/// One accepted event.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordEvent<'a> {
    /// Its id: `keen.id`.
    pub id: EventId,
    /// Its collection, already checked.
    #[serde(borrow)]
    pub collection: Cow<'a, str>,
    /// When it happened: `keen.timestamp`.
    pub timestamp: Timestamp,
    /// Its properties as they were sent: one JSON object that keeps the collector's rules. It may still hold a `keen`
    /// object; `keen.id`, `keen.timestamp` and `keen.created_at` are those of this envelope.
    #[serde(borrow)]
    pub properties: &'a RawValue,
}

/// Why bytes from the log are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// They are not JSON of this form.
    #[error("not a record: {0}")]
    Malformed(#[from] serde_json::Error),
    /// They were written by a version this program doesn't know.
    #[error("record version {found}, this program reads {VERSION}")]
    Version {
        /// The version that stands in it.
        found: u32,
    },
}

impl<'a> Record<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// When the bytes are not a record of [`VERSION`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_slice(bytes)?;
        if record.v != VERSION {
            return Err(RecordError::Version { found: record.v });
        }
        Ok(record)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// Never for a record that was built from checked parts; serde's signature.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        Ok(serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_byte_for_byte() {
        let text = r#"{"v":1,"project":"p","received_at":"2020-01-01T00:00:00.000Z","events":[{"id":"00000000000000000000000000000001","collection":"a b","timestamp":"2020-01-01T00:00:00.000Z","properties":{"a": 1.50}}]}"#;
        let record = Record::parse(text.as_bytes()).unwrap();
        assert_eq!(record.events.len(), 1);
        assert_eq!(String::from_utf8(record.to_bytes().unwrap()).unwrap(), text);
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let text = r#"{"v":2,"project":"p","received_at":"2020-01-01T00:00:00.000Z","events":[]}"#;
        assert!(matches!(Record::parse(text.as_bytes()), Err(RecordError::Version { found: 2 })));
        assert!(matches!(Record::parse(b"{"), Err(RecordError::Malformed(_))));
    }
}
