//! Splits a record into smaller ones, for queues that carry small messages.
//!
//! Apart because only the edge needs it. A part is a record like any other, so nobody behind it has to know that
//! there was a whole. It must not know which queue it is for.

use std::ops::Range;

use protocol::record::{Record, RecordEvent, VERSION};

/// A record that holds some of the events of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The record, as one line.
    pub record: Vec<u8>,
    /// The places of its events among those of the whole, from 0.
    pub events: Range<u64>,
}

/// The parts of a `record` of so many `events`, in order, each at most `bytes_max` long; only a part that is a single event
/// may be longer.
///
/// A record that fits is given back as it is. One that does not parse is too: whoever reads it says why.
#[must_use]
pub fn split(record: Vec<u8>, events: u64, bytes_max: usize) -> Vec<Part> {
    if record.len() > bytes_max
        && let Some(parts) = parts(&record, bytes_max)
    {
        return parts;
    }
    vec![Part { record, events: 0..events }]
}

fn parts(record: &[u8], bytes_max: usize) -> Option<Vec<Part>> {
    let Record { project, received_at, context, events, .. } = Record::parse(record).ok()?;
    let write = |events: Vec<RecordEvent<'_>>| {
        Record { v: VERSION, project: project.clone(), received_at, context: context.clone(), events }.to_bytes().ok()
    };
    let frame_bytes = write(Vec::new())?.len();
    let mut parts: Vec<Part> = Vec::new();
    let mut close = |held: Vec<RecordEvent<'_>>| {
        let first = parts.last().map_or(0, |part| part.events.end);
        let events = first..first.saturating_add(u64::try_from(held.len()).ok()?);
        parts.push(Part { record: write(held)?, events });
        Some(())
    };
    let mut held = Vec::new();
    let mut held_bytes = frame_bytes;
    for event in events {
        let event_bytes = serde_json::to_vec(&event).ok()?.len() + 1; // and the comma
        if held_bytes + event_bytes > bytes_max && !held.is_empty() {
            close(std::mem::take(&mut held))?;
            held_bytes = frame_bytes;
        }
        held_bytes += event_bytes;
        held.push(event);
    }
    close(held)?;
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
        let alone = |record: Vec<u8>| vec![Part { record, events: 0..2 }];
        assert_eq!(split(whole.clone(), 2, whole.len()), alone(whole.clone()));
        assert_eq!(split(whole.clone(), 2, whole.len() - 1).len(), 2);
        assert_eq!(split(b"not a record".to_vec(), 2, 1), alone(b"not a record".to_vec()));
    }

    proptest! {
        #[test]
        fn parts_hold_every_event_once_in_order(sizes in prop::collection::vec(0_usize..600, 1..40)) {
            let whole = record(&sizes);
            let parts = split(whole.clone(), sizes.len() as u64, 700);
            let together: Vec<_> = parts.iter().flat_map(|part| ids(&part.record)).collect();
            let places: Vec<_> = parts.iter().flat_map(|part| part.events.clone()).collect();
            prop_assert_eq!(places, (0..sizes.len() as u64).collect::<Vec<_>>());
            prop_assert_eq!(together, ids(&whole));
            for part in &parts {
                prop_assert_eq!(part.events.end - part.events.start, ids(&part.record).len() as u64);
                prop_assert!(part.record.len() <= 700 || ids(&part.record).len() == 1);
            }
        }
    }
}
