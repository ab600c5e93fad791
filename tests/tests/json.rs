//! Runs the table of JSON inputs through the collector, in each of its forms, and what passes through the processor.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use collector::{Caller, Decision, Head, Headers, Moment, Routed, route};
use processor::Processor;
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::{KeyKind, KeyRecord, Timestamp};
use serde_json::Value;
use tests::corpus::{Entry, load};

fn send(target: &str, body: &[u8]) -> Decision {
    let limits = Limits::default();
    let head = Head { method: "POST", target, headers: Headers::default() };
    let Routed::Ask(asked) = route(&head, &limits) else { panic!("{target}") };
    let mut key = KeyRecord::new("p".parse().unwrap(), KeyKind::Write);
    key.is_active = true;
    let moment = Moment { now: Timestamp::from_millis(1_577_836_800_000), random: [0; 10] };
    asked.decide(&Access::known(key), body, &moment, &Caller::default(), &limits)
}

fn answer(decision: &Decision) -> Value {
    serde_json::from_slice(&decision.reply.body).unwrap()
}

#[test]
fn an_event_is_stored_as_it_came_or_refused_with_its_code() {
    for entry in load().unwrap() {
        let decision = send("/3.0/projects/p/events/c", &entry.single());
        let body = answer(&decision);
        assert_eq!(body["error_code"].as_str(), entry.code.as_deref(), "{} {body}", entry.shown());
        let Some(record) = decision.record else { continue };
        let sent: Value = serde_json::from_slice(&entry.single()).unwrap();
        let kept: Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(kept["events"][0]["properties"], sent, "{}", entry.shown());
        let processed = Processor::default().process(&record);
        assert!(processed.quarantined.is_empty(), "{} {:?}", entry.shown(), processed.quarantined);
        assert_eq!(processed.tally.map(|(_, tally)| tally.stored), Some(1), "{}", entry.shown());
    }
}

#[test]
fn a_batch_loses_only_the_event_that_is_refused() {
    for (number, entry) in load().unwrap().iter().enumerate() {
        let body = answer(&send("/3.0/projects/p/batches", &entry.batch("c", number)));
        if entry.is_broken() {
            assert_eq!(body["error_code"], "InvalidBatchError", "{} {body}", entry.shown());
            continue;
        }
        let refused: Vec<_> = body["refused"].as_array().into_iter().flatten().collect();
        let found: Vec<_> = refused.iter().map(|one| (one["index"].as_u64(), one["code"].as_str())).collect();
        let expected: Vec<_> = entry.code.iter().map(|code| (Some(1), Some(code.as_str()))).collect();
        assert_eq!(found, expected, "{} {body}", entry.shown());
        assert_eq!(body["accepted"].as_u64(), Some(3 - found.len() as u64), "{}", entry.shown());
    }
}

#[test]
fn a_bulk_loses_only_the_event_that_is_refused() {
    for entry in load().unwrap() {
        let text = [br#"{"c":[{},"#, &*entry.single(), b",{}]}"].concat();
        let body = answer(&send("/3.0/projects/p/events", &text));
        check_bulk(&entry, &body);
    }
}

#[track_caller]
fn check_bulk(entry: &Entry, body: &Value) {
    if entry.is_broken() {
        assert_eq!(body["error_code"], "InvalidBatchError", "{} {body}", entry.shown());
        return;
    }
    let results = body["c"].as_array().unwrap();
    let names: Vec<_> = results.iter().map(|one| one["error"]["name"].as_str()).collect();
    assert_eq!(names, [None, entry.code.as_deref(), None], "{} {body}", entry.shown());
}
