//! Writes a [`Record`] event by event, in the form that [`Record::parse`] reads.
//!
//! Apart from the record's own serialiser because the collector changes some events on their way and copies all others
//! as they are: it writes each straight into the record, so that no event is held twice.

use std::io::Write;

use serde_json::Error;

use crate::record::{Context, Record, VERSION};
use crate::{EventId, ProjectId, Timestamp};

/// What stands behind the last event.
const END: &[u8] = b"]}";

/// A record that is being written.
#[derive(Debug)]
pub struct RecordWriter {
    bytes: Vec<u8>,
    is_empty: bool,
}

impl RecordWriter {
    /// A record without events so far, with room for `capacity` bytes.
    ///
    /// # Errors
    /// Never for checked parts; serde's signature.
    pub fn new(
        project: ProjectId,
        received_at: Timestamp,
        context: Option<Context<'_>>,
        capacity: usize,
    ) -> Result<Self, Error> {
        let mut bytes = Vec::with_capacity(capacity);
        let frame = Record { v: VERSION, project, received_at, context, events: Vec::new() };
        serde_json::to_writer(&mut bytes, &frame)?;
        // The events are the last member, so what follows them comes off again.
        bytes.truncate(bytes.len().saturating_sub(END.len()));
        Ok(Self { bytes, is_empty: true })
    }

    /// Adds one event. `properties` appends the text of one JSON object; line breaks in it become spaces, which is the
    /// same JSON, so that a record is one line.
    ///
    /// # Errors
    /// Never for checked parts; serde's signature.
    pub fn push(
        &mut self,
        id: &EventId,
        collection: &str,
        timestamp: Timestamp,
        properties: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Error> {
        let bytes = &mut self.bytes;
        if !self.is_empty {
            bytes.push(b',');
        }
        self.is_empty = false;
        write!(bytes, "{{\"id\":\"{id}\",\"collection\":").map_err(Error::io)?;
        serde_json::to_writer(&mut *bytes, collection)?;
        write!(bytes, ",\"timestamp\":\"{timestamp}\",\"properties\":").map_err(Error::io)?;
        let start = bytes.len();
        properties(bytes);
        for byte in bytes.get_mut(start..).unwrap_or_default() {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        bytes.push(b'}');
        Ok(())
    }

    /// Bytes so far.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + END.len()
    }

    /// The record as one line.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(END);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordEvent;
    use serde_json::value::RawValue;

    #[test]
    fn it_writes_what_the_record_itself_would() {
        let project: ProjectId = "p".parse().unwrap();
        let context = Context { bot: true, visitor: Some("0f".into()), location: None };
        let (now, id) = (Timestamp::from_millis(1_577_836_800_000), EventId::from_bytes([7; 16]));
        let properties = RawValue::from_string(r#"{"a": 1}"#.to_owned()).unwrap();
        for (context, count) in [(None, 0), (None, 1), (Some(context), 3)] {
            let mut writer = RecordWriter::new(project.clone(), now, context.clone(), 0).unwrap();
            for index in 0..count {
                writer.push(&id.nth(index), "a \"b\"", now, |bytes| bytes.extend_from_slice(b"{\"a\":\n1}")).unwrap();
            }
            let event = |index| RecordEvent {
                id: id.nth(index),
                collection: "a \"b\"".into(),
                timestamp: now,
                properties: &properties,
            };
            let events = (0..count).map(event).collect();
            let record = Record { v: VERSION, project: project.clone(), received_at: now, context, events };
            assert_eq!(writer.size_bytes(), record.to_bytes().unwrap().len());
            assert_eq!(String::from_utf8(writer.finish()), String::from_utf8(record.to_bytes().unwrap()));
        }
    }
}
