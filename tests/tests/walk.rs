//! The first test to read: one event, followed by its id through every part, in one process.
//!
//! Capture → outbox → wire → collector → log on disk → processor → store → restart → query → chart. Only the shells
//! (timers, sockets, threads) are missing; the parts are the real ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::sync::Arc;

use collector::{Caller, Head, Headers, Moment, Routed, route};
use processor::{Dedupe, Processor};
use protocol::access::Access;
use protocol::limits::{Limits, QueryLimits};
use protocol::query::{Analysis, Params};
use protocol::{EventId, Key, KeyKind, KeyRecord, Offset, ProjectId, Timestamp};
use queue::{Log, RealDisk};
use sdk_wasm::outbox::{Answer, Drops, Input, Millis, Outbox, Output};
use sdk_wasm::wire;
use serde_json::json;
use store::Store;
use tests::server::Folder;

/// When the visitor clicked, by the visitor's clock.
const CLICKED_MS: u64 = 1_700_000_000_000;
/// The visitor's clock is two minutes slow.
const SKEW_MS: i64 = 120_000;

#[test]
fn one_event_goes_all_the_way_and_counts_once() {
    let folder = Folder::new("walk").unwrap();
    let project: ProjectId = "walk".parse().unwrap();

    // A visitor clicks. The event gets its id here and keeps it to the end.
    let event = wire::event(CLICKED_MS, [7; 10], r#""clicks""#, r#"{"target":"buy","price":9.5}"#);
    let id = EventId::from_bytes(event.id);
    let mut outbox = Outbox::new(1);
    outbox.capture(Millis(0), event).unwrap();

    // The outbox wants it sent, the collector judges the request.
    outbox.handle(Millis(0), Input::Flush);
    let Output::Send(batch) = outbox.poll(Millis(10)) else { panic!("nothing to send") };
    let body = wire::batch(CLICKED_MS + 1_000, &Drops::default(), &batch.events);
    let record = collect(&project, &body);

    // The log makes it durable, and only then the reply leaves; the outbox lets go of the event.
    let log = open_log(&folder);
    assert_eq!(log.append(vec![record.clone()]).wait().unwrap(), Offset(0));
    outbox.handle(Millis(20), Input::Answered(batch.number, Answer::Stored { refused: 0 }));
    assert_eq!(outbox.waiting(), 0);

    // The reply was lost for another sender, who sends the same again: it is durable twice and will count once.
    log.append(vec![record]).wait().unwrap();
    process(&log, &open_store(&folder), id);
    drop(log);

    // Store and log are opened again: nothing is left to be read twice, and a third delivery would not count.
    let store = open_store(&folder);
    assert_eq!(store.committed(), Offset(2));
    assert!(open_log(&folder).read(store.committed(), 1).unwrap().is_empty());
    let mut dedupe = Dedupe::default();
    let since = Dedupe::since(received());
    store.recent_ids(since, &mut |project, id, at| assert!(dedupe.insert(project, id, at))).unwrap();
    assert!(!dedupe.insert(&project, id, received()));

    // A query finds it, and the answer is a picture.
    let answer = ask(&store, &project, id);
    let svg = charts::svg(&answer, &charts::Options::default()).unwrap();
    assert!(svg.starts_with("<svg"), "{svg}");
}

/// When the collector received it, by the server's clock.
fn received() -> Timestamp {
    Timestamp::from_millis(i64::try_from(CLICKED_MS).unwrap() + 1_000 + SKEW_MS)
}

fn open_log(folder: &Folder) -> Log {
    Log::open(Arc::new(RealDisk), &folder.path().join("log"), queue::Options::default()).unwrap().0
}

fn open_store(folder: &Folder) -> Store {
    Store::open(&folder.path().join("store"), store::Options::default()).unwrap()
}

/// The collector judges a request: what is asked, who asks, what is in it. Gives the record for the log.
fn collect(project: &ProjectId, body: &str) -> Vec<u8> {
    let key = Key::from_random(KeyKind::Write, [3; 28]);
    let target = format!("/3.0/projects/walk/batches?api_key={}", key.reveal());
    let head = Head { method: "POST", target: &target, headers: Headers::default() };
    let Routed::Ask(asked) = route(&head, &Limits::default()) else { panic!("not a write") };
    assert_eq!(asked.key.hash(), Some(&key.hash()));
    let access = Access::known(KeyRecord::new(project.clone(), KeyKind::Write));
    let moment = Moment { now: received(), random: [0; 10] };
    let decision = asked.decide(&access, body.as_bytes(), &moment, &Caller::default(), &Limits::default());
    assert_eq!(decision.reply.status, 200);
    decision.record.expect("an accepted event")
}

/// The processor makes a row of the event and recognises the repeat; the store takes rows and the place in the log
/// together.
fn process(log: &Log, store: &Store, id: EventId) {
    let mut processor = Processor::default();
    let mut duplicates = 0;
    for (offset, bytes) in log.read(Offset(0), usize::MAX).unwrap() {
        let processed = processor.process(&bytes);
        assert!(processed.rows.iter().all(|row| row.id == id));
        let tallies: Vec<_> = processed.tally.into_iter().collect();
        duplicates += tallies.iter().map(|(_, tally)| tally.duplicates).sum::<u64>();
        store.append(processed.rows, &tallies, offset.next()).unwrap();
    }
    assert_eq!(duplicates, 1);
    store.flush().unwrap();
}

/// A query finds the event by its id, at the time the click happened by the server's clock. Gives the answer's result.
fn ask(store: &Store, project: &ProjectId, id: EventId) -> serde_json::Value {
    let params: Params = serde_json::from_value(json!({
        "event_collection": "clicks", "timeframe": "this_5_minutes", "interval": "minutely",
        "filters": [{ "property_name": "keen.id", "operator": "eq", "property_value": id.to_string() }],
    }))
    .unwrap();
    let now = received().plus_millis(60_000);
    let plan = query::plan(project, Analysis::Count, &params, &[], now, &QueryLimits::default()).unwrap();
    let output = store.execute(&plan, &|| false).unwrap();
    let answer = serde_json::to_value(query::answer(&plan, &output)).unwrap();
    let buckets = answer["result"].as_array().unwrap();
    let counted: Vec<_> = buckets.iter().filter(|bucket| bucket["value"] == 1).collect();
    assert_eq!(counted.len(), 1, "{answer}");
    assert_eq!(counted[0]["timeframe"]["start"], "2023-11-14T22:15:00.000Z");
    answer["result"].clone()
}
