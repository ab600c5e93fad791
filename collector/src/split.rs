//! Splits a record into smaller ones, for queues that carry small messages.
//!
//! Apart because only the edge needs it. A part is a record like any other, so nobody behind it has to know that
//! there was a whole. It must not know which queue it is for.

use protocol::record::{Record, RecordEvent, VERSION};

/// The parts of `record`, in order, each at most `bytes_max` long; only a part that is a single event may be longer.
///
/// A record that fits is given back as it is. One that does not parse is too: whoever reads it says why.
#[must_use]
pub fn split(record: Vec<u8>, bytes_max: usize) -> Vec<Vec<u8>> {
    if record.len() <= bytes_max {
        return vec![record];
    }
    parts(&record, bytes_max).unwrap_or_else(|| vec![record])
}

fn parts(record: &[u8], bytes_max: usize) -> Option<Vec<Vec<u8>>> {
    let Record { project, received_at, context, events, .. } = Record::parse(record).ok()?;
    let write = |events: Vec<RecordEvent<'_>>| {
        Record { v: VERSION, project: project.clone(), received_at, context: context.clone(), events }.to_bytes().ok()
    };
    let frame_bytes = write(Vec::new())?.len();
    let mut parts = Vec::new();
    let mut held = Vec::new();
    let mut held_bytes = frame_bytes;
    for event in events {
        let event_bytes = serde_json::to_vec(&event).ok()?.len() + 1; // and the comma
        if held_bytes + event_bytes > bytes_max && !held.is_empty() {
            parts.push(write(std::mem::take(&mut held))?);
            held_bytes = frame_bytes;
        }
        held_bytes += event_bytes;
        held.push(event);
    }
    parts.push(write(held)?);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn record(sizes: &[usize]) -> Vec<u8> {
        let properties: Vec<_> = sizes
            .iter()
            .map(|size| RawValue::from_string(format!(r#"{{"a":"{}"}}"#, "x".repeat(*size))).unwrap())
            .collect();
        let events = properties.iter().enumerate().map(|(index, properties)| RecordEvent {
            id: protocol::EventId::from_bytes([0; 16]).nth(index as u64),
            collection: "c".into(),
            timestamp: protocol::Timestamp::MIN,
            properties,
        });
        let project = "p".parse().unwrap();
        Record { v: VERSION, project, received_at: protocol::Timestamp::MAX, context: None, events: events.collect() }
            .to_bytes()
            .unwrap()
    }

    fn ids(record: &[u8]) -> Vec<protocol::EventId> {
        Record::parse(record).unwrap().events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn a_record_that_fits_stays_as_it_is() {
        let whole = record(&[10, 10]);
        assert_eq!(split(whole.clone(), whole.len()), vec![whole.clone()]);
        assert_eq!(split(whole.clone(), whole.len() - 1).len(), 2);
        assert_eq!(split(b"not a record".to_vec(), 1), vec![b"not a record".to_vec()]);
    }

    proptest! {
        #[test]
        fn parts_hold_every_event_once_in_order(sizes in prop::collection::vec(0_usize..600, 1..40)) {
            let whole = record(&sizes);
            let parts = split(whole.clone(), 700);
            let together: Vec<_> = parts.iter().flat_map(|part| ids(part)).collect();
            prop_assert_eq!(together, ids(&whole));
            for part in &parts {
                prop_assert!(part.len() <= 700 || ids(part).len() == 1);
            }
        }
    }
}
