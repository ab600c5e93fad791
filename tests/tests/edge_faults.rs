//! What the worker does when something around it fails: an event that was acknowledged is always somewhere durable.
//!
//! The worker is the built one under workerd, wrapped by `tests/edge/faulty.mjs`; behind it stands a real server, where
//! the events are counted in the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of it is a test, its helpers too"
)]

use std::time::{Duration, Instant};

use protocol::batch::BatchAnswer;
use serde_json::{Value, json};
use tests::edge::{APPEND_SECRET, Edge, Setup};
use tests::server::{Folder, Project, Server, ask, client, create_project};

/// How long anybody may wait for a reply, whatever hangs.
const REPLY_MAX: Duration = Duration::from_secs(12);
/// How long events may take from the worker to a count.
const COUNTED_MAX: Duration = Duration::from_secs(30);

struct Parts {
    // In the order in which they end.
    edge: Edge,
    server: Server,
    project: Project,
    _folder: Folder,
}

impl Parts {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name).unwrap();
        let project = create_project(folder.path()).unwrap();
        let secrets = format!("[{APPEND_SECRET:?}]");
        let server = Server::start(folder.path(), &[("RIVULET_EDGE_APPEND_SECRETS", &secrets)]).unwrap();
        let setup = Setup { faults: true, ..Setup::new(&server.url, &[&project]).unwrap() };
        let edge = Edge::start_with(&setup).unwrap();
        Self { edge, server, project, _folder: folder }
    }

    fn post(&self, place: &str, fault: &str, body: &Value) -> (u16, Value) {
        let started = Instant::now();
        let mut response = client()
            .post(format!("{}/3.0/projects/{}/{place}", self.edge.url, self.project.id))
            .header("Authorization", &self.project.write_key)
            .header("x-fault", fault)
            .send(body.to_string())
            .unwrap();
        assert!(started.elapsed() < REPLY_MAX, "{place} {fault}: {:?}", started.elapsed());
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap())
    }

    fn spilled(&self) -> usize {
        let mut response = client().get(format!("{}/faults/bucket", self.edge.url)).call().unwrap();
        let names: Vec<String> = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
        names.len()
    }

    fn drain(&self) {
        let status = client().post(format!("{}/faults/drain", self.edge.url)).send_empty().unwrap().status();
        assert_eq!(status, 200);
    }

    fn count(&self, collection: &str) -> u64 {
        let asked = json!({ "event_collection": collection, "timeframe": { "start": "1970-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z" } });
        ask(&client(), &self.server, &self.project, "count", &asked).unwrap().as_u64().unwrap()
    }

    #[track_caller]
    fn counts(&self, collection: &str, expected: u64) {
        let started = Instant::now();
        while self.count(collection) != expected {
            assert!(started.elapsed() < COUNTED_MAX, "{collection}: {} of {expected}", self.count(collection));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A batch of so many events, each of so many bytes, with ids that begin with `first`.
fn batch(collection: &str, events: u64, bytes: usize, first: u64) -> Value {
    let events: Vec<Value> = (0..events)
        .map(|place| {
            let text: Vec<String> = (0..bytes / 9_000 + 1).map(|_| "x".repeat(bytes.min(9_000))).collect();
            json!({ "id": format!("{:032x}", first + place), "collection": collection, "timestamp": 1, "properties": { "text": text } })
        })
        .collect();
    json!({ "sent_at": 1, "events": events })
}

#[test]
fn what_the_queue_does_not_take_lies_in_the_bucket_before_anything_is_acknowledged() {
    let parts = Parts::start("edge-faults");
    // Those that hang come last: they make the worker rest from the queue.
    let faults = ["queue=reject", "queue=throw", "queue=late", "queue=hang"];
    for (place, fault) in faults.into_iter().enumerate() {
        let (before, own) = (parts.spilled(), format!("own{place}"));
        let (status, answer) = parts.post("batches", fault, &batch(&format!("ours{place}"), 3, 10, 1_000));
        assert_eq!((status, answer), (200, json!({ "accepted": 3 })), "{fault}");
        let (status, answer) = parts.post(&format!("events/{own}"), fault, &json!({ "a": 1 }));
        assert_eq!((status, answer), (201, json!({ "created": true })), "{fault}");
        assert_eq!(parts.spilled(), before + 2, "{fault}");
        assert_eq!(parts.count(&own), 0, "{fault}");
    }
    parts.drain();
    assert_eq!(parts.spilled(), 0);
    for place in 0..faults.len() {
        // The batches share their ids, but each has a collection of its own; the late queue brought them twice.
        parts.counts(&format!("own{place}"), 1);
    }
}

#[test]
fn nothing_is_acknowledged_that_neither_queue_nor_bucket_has() {
    let parts = Parts::start("edge-lost");
    for fault in
        ["queue=reject bucket=reject", "queue=throw bucket=throw", "queue=reject bucket=hang", "queue=hang bucket=hang"]
    {
        for (place, body) in [
            ("batches", batch("lost", 3, 10, 1)),
            ("events/lost", json!({ "a": 1 })),
            ("events", json!({ "lost": [{}, {}] })),
        ] {
            let (status, answer) = parts.post(place, fault, &body);
            assert_eq!(
                (status, answer["error_code"].as_str()),
                (503, Some("ServiceUnavailableError")),
                "{place} {fault}"
            );
        }
    }
    assert_eq!((parts.spilled(), parts.count("lost")), (0, 0));
}

#[test]
fn of_a_batch_that_was_stored_in_part_the_rest_is_named() {
    let parts = Parts::start("edge-part");
    // Five messages in three calls of two, two and one; the second and the third fail.
    let sent = batch("part", 12, 45_000, 1);
    let (status, answer) = parts.post("batches", "queue=half bucket=reject", &sent);
    let answer: BatchAnswer = serde_json::from_value(answer).unwrap();
    assert_eq!((status, answer.accepted > 0, answer.retry.is_empty()), (200, true, false), "{answer:?}");
    assert_eq!(answer.accepted + answer.retry.len() as u64, 12);
    parts.counts("part", answer.accepted);
    // Sent again, as the answer asks for it, all are there once.
    let events = sent["events"].as_array().unwrap();
    let rest: Vec<&Value> = answer.retry.iter().map(|place| &events[usize::try_from(*place).unwrap()]).collect();
    let again = parts.post("batches", "", &json!({ "sent_at": 1, "events": rest }));
    assert_eq!(again, (200, json!({ "accepted": rest.len() })));
    parts.counts("part", 12);
    // Keen's clients look at the status alone, so they are told to send all of it.
    let body = json!({ "whole": vec![json!({ "a": vec!["x".repeat(9_000); 5] }); 12] });
    assert_eq!(parts.post("events", "queue=half bucket=reject", &body).0, 503);
}

#[test]
fn a_panic_fails_its_request_and_no_other() {
    let parts = Parts::start("edge-panic");
    for round in 0..3 {
        let (status, answer) = parts.post("events/panic", "panic", &json!({ "a": 1 }));
        assert_eq!((status, answer["error_code"].as_str()), (503, Some("ServiceUnavailableError")), "round {round}");
        let (status, _) = parts.post("events/fine", "", &json!({ "a": 1 }));
        assert_eq!(status, 201, "round {round}");
    }
    parts.counts("fine", 3);
}
