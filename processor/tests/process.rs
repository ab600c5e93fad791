//! Records in, rows out: repeats, shuffles and damage.

use std::collections::BTreeSet;

use processor::Processor;
use proptest::prelude::*;
use protocol::row::Tally;

/// A record of project `p` whose events have these ids and properties.
fn record(received: &str, events: &[(u8, &str)]) -> Vec<u8> {
    let events: Vec<_> = events
        .iter()
        .map(|(id, properties)| {
            format!(
                r#"{{"id":"{id:032x}","collection":"c","timestamp":"2020-01-01T00:00:00.000Z","properties":{properties}}}"#
            )
        })
        .collect();
    format!(r#"{{"v":1,"project":"p","received_at":"{received}","events":[{}]}}"#, events.join(",")).into_bytes()
}

const DAY: &str = "2020-01-02T00:00:00.000Z";

#[test]
fn an_event_becomes_a_row_with_the_times_of_its_record() {
    let processed = Processor::default().process(&record(DAY, &[(1, r#"{"a":1}"#)]));
    let [row] = processed.rows.as_slice() else { panic!("{processed:?}") };
    assert_eq!(row.timestamp.to_string(), "2020-01-01T00:00:00.000Z");
    assert_eq!(row.created_at.to_string(), DAY);
    assert_eq!(row.cells.len(), 1);
    assert_eq!(processed.tally, Some(("p".parse().unwrap(), Tally { stored: 1, ..Tally::default() })));
}

#[test]
fn a_repeated_id_is_counted_as_a_duplicate_within_a_record_and_across_records() {
    let mut processor = Processor::default();
    let first = processor.process(&record(DAY, &[(1, "{}"), (1, "{}"), (2, "{}")]));
    assert_eq!(first.tally.unwrap().1, Tally { stored: 2, duplicates: 1, quarantined: 0, deleted: 0 });
    let second = processor.process(&record(DAY, &[(2, "{}"), (3, "{}")]));
    assert_eq!(second.tally.unwrap().1, Tally { stored: 1, duplicates: 1, quarantined: 0, deleted: 0 });
}

#[test]
fn bytes_that_are_no_record_go_to_quarantine_whole() {
    for bytes in
        [&b"{"[..], b"", b"\xff\xfe", br#"{"v":9,"project":"p","received_at":"2020-01-01T00:00:00.000Z","events":[]}"#]
    {
        let processed = Processor::default().process(bytes);
        let [kept] = processed.quarantined.as_slice() else { panic!("{processed:?}") };
        assert_eq!((kept.bytes.as_slice(), kept.event), (bytes, None));
        assert!(processed.rows.is_empty() && processed.tally.is_none());
    }
}

#[test]
fn one_event_that_cannot_be_stored_does_not_hold_back_the_others() {
    let processed = Processor::default().process(&record(DAY, &[(1, "{}"), (2, r#"{"a.b":1}"#), (3, "{}")]));
    assert_eq!(processed.rows.len(), 2);
    let [kept] = processed.quarantined.as_slice() else { panic!("{processed:?}") };
    assert_eq!((kept.bytes.as_slice(), kept.event), (&br#"{"a.b":1}"#[..], Some(1)));
    assert_eq!(processed.tally.unwrap().1, Tally { stored: 2, duplicates: 0, quarantined: 1, deleted: 0 });
}

proptest! {
    #[test]
    fn shuffled_and_repeated_records_give_the_same_set_of_rows(
        ids in proptest::collection::vec(0_u8..40, 1..60),
        again in proptest::collection::vec(0_usize..60, 0..30),
        seed in any::<u64>(),
    ) {
        let records: Vec<_> = ids.chunks(3).map(|chunk| record(DAY, &chunk.iter().map(|id| (*id, "{}")).collect::<Vec<_>>())).collect();
        let mut shuffled: Vec<_> = records.clone();
        shuffled.extend(again.iter().filter_map(|place| records.get(*place).cloned()));
        // A fixed shuffle: order by a hash of place and seed.
        let mut keyed: Vec<_> = shuffled.into_iter().enumerate().map(|(place, bytes)| {
            ((place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed, bytes)
        }).collect();
        keyed.sort();
        let run = |records: Vec<Vec<u8>>| {
            let mut processor = Processor::default();
            let rows: Vec<_> = records.iter().flat_map(|bytes| processor.process(bytes).rows).map(|row| row.id).collect();
            let set: BTreeSet<_> = rows.iter().copied().collect();
            prop_assert_eq!(set.len(), rows.len(), "no id twice");
            Ok(set)
        };
        prop_assert_eq!(run(records)?, run(keyed.into_iter().map(|(_, bytes)| bytes).collect())?);
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Processor::default().process(&bytes);
    }
}
