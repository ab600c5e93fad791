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

/// A record of version 2 of a robot's visit: its event asks for an add-on and for one that nobody knows.
fn record_with_context() -> Vec<u8> {
    br#"{"v":2,"project":"p","received_at":"2020-01-02T00:00:00.000Z","context":{"bot":true,"visitor":"0f","location":{"country_code":"PL"}},"events":[{"id":"00000000000000000000000000000001","collection":"c","timestamp":"2020-01-01T00:00:00.000Z","properties":{"url":"https://a.example/x?q=1","info":{"kept":1},"keen":{"addons":[{"name":"keen:url_parser","input":{"url":"url"},"output":"info"},{"name":"keen:cookie","input":{},"output":"x"}]}}}]}"#.to_vec()
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
fn a_row_has_what_the_collector_knew_and_what_the_add_ons_found() {
    let processed = Processor::default().process(&record_with_context());
    let [row] = processed.rows.as_slice() else { panic!("{processed:?}") };
    let cells: Vec<_> = row.cells.iter().map(|(path, cell)| format!("{path}={cell:?}")).collect();
    assert_eq!(
        cells,
        [
            r#"url=Text("https://a.example/x?q=1")"#,
            "info.kept=Int(1)",
            "keen.bot=Bool(true)",
            r#"keen.visitor=Text("0f")"#,
            r#"keen.location.country_code=Text("PL")"#,
            r#"info.protocol=Text("https")"#,
            r#"info.domain=Text("a.example")"#,
            r#"info.path=Text("/x")"#,
            r#"info.query_string.q=Text("1")"#,
        ]
    );
    assert_eq!(processed.addons_ignored, 1);
}

#[test]
fn a_repeat_is_neither_enriched_nor_counted_again() {
    let mut processor = Processor::default();
    processor.process(&record_with_context());
    let again = processor.process(&record_with_context());
    assert_eq!((again.rows.len(), again.addons_ignored, again.tally.unwrap().1.duplicates), (0, 0, 1));
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

/// The properties of an event that is enriched.
const ADDED: &str = r#"{"t":"2020-01-02T03:04:05Z","keen":{"addons":[{"name":"keen:date_time_parser","input":{"date_time":"t"},"output":"at"}]}}"#;

proptest! {
    #[test]
    fn shuffled_and_repeated_records_give_the_same_set_of_rows(
        ids in proptest::collection::vec(0_u8..40, 1..60),
        again in proptest::collection::vec(0_usize..60, 0..30),
        seed in any::<u64>(),
    ) {
        let records: Vec<_> = ids.chunks(3).map(|chunk| record(DAY, &chunk.iter().map(|id| (*id, ADDED)).collect::<Vec<_>>())).collect();
        let mut shuffled: Vec<_> = records.clone();
        shuffled.extend(again.iter().filter_map(|place| records.get(*place).cloned()));
        // A fixed shuffle: order by a hash of place and seed.
        let mut keyed: Vec<_> = shuffled.into_iter().enumerate().map(|(place, bytes)| {
            ((place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed, bytes)
        }).collect();
        keyed.sort();
        let run = |records: Vec<Vec<u8>>| {
            let mut processor = Processor::default();
            let rows: Vec<_> = records.iter().flat_map(|bytes| processor.process(bytes).rows).collect();
            let rows: Vec<_> = rows.iter().map(|row| (row.id, format!("{row:?}"))).collect();
            let set: BTreeSet<_> = rows.iter().cloned().collect();
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
