//! What one accepted request becomes in the log: the collector writes it, the processor reads it.
//!
//! The form is JSON text with a version, because a record also travels as a Cloudflare Queues message (which has no
//! binary form in crate `worker` 0.8) and because a person must be able to read one from quarantine.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{EventId, ProjectId, Timestamp};

/// The version this crate writes. Readers refuse versions they don't know, so a change of meaning can't go unnoticed.
///
/// 2 added [`Record::context`]; records of version 1 are still read.
pub const VERSION: u32 = 2;
/// The oldest version that is read.
const VERSION_MIN: u32 = 1;

/// The accepted events of one request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record<'a> {
    /// [`VERSION`].
    pub v: u32,
    /// The project they belong to.
    pub project: ProjectId,
    /// When the collector received them: `keen.created_at`.
    pub received_at: Timestamp,
    /// What was found out about the caller, for all events.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context<'a>>,
    /// At least one event, in order of the request.
    #[serde(borrow)]
    pub events: Vec<RecordEvent<'a>>,
}

/// What the collector found out about a caller, as far as the project's settings allow it to be kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Context<'a> {
    /// The agent is a robot's: becomes `keen.bot`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bot: bool,
    /// Tells visitors apart for a day: becomes `keen.visitor`. 32 hex digits.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub visitor: Option<Cow<'a, str>>,
    /// Where the caller is: becomes `keen.location`, unless the event brings its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// A place, as `keen:ip_to_geo` names it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    /// English name of the city.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// English name of the province or state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub province: Option<String>,
    /// English name of the country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// ISO 3166-1, two letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// English name of the continent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continent: Option<String>,
    /// As the country writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Longitude, latitude, in degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<[f64; 2]>,
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
        if !(VERSION_MIN..=VERSION).contains(&record.v) {
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
        let text = r#"{"v":2,"project":"p","received_at":"2020-01-01T00:00:00.000Z","context":{"bot":true,"visitor":"0f","location":{"country_code":"PL","coordinates":[21.0,52.2]}},"events":[{"id":"00000000000000000000000000000001","collection":"a b","timestamp":"2020-01-01T00:00:00.000Z","properties":{"a": 1.50}}]}"#;
        let record = Record::parse(text.as_bytes()).unwrap();
        assert_eq!(record.events.len(), 1);
        assert_eq!(String::from_utf8(record.to_bytes().unwrap()).unwrap(), text);
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let text = |v| format!(r#"{{"v":{v},"project":"p","received_at":"2020-01-01T00:00:00.000Z","events":[]}}"#);
        for found in [0, 3] {
            let refused = Record::parse(text(found).as_bytes()).err();
            assert!(matches!(refused, Some(RecordError::Version { found: at }) if at == found), "{refused:?}");
        }
        for read in [1, 2] {
            assert!(Record::parse(text(read).as_bytes()).is_ok(), "{read}");
        }
        assert!(matches!(Record::parse(b"{"), Err(RecordError::Malformed(_))));
    }
}
