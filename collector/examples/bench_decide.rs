//! Measures the collector alone: microseconds for one batch of 50 events and 20 KB, in each form.
//!
//! `cargo run --release -p collector --example bench_decide`. Prints the best and the median of many rounds, because a shared
//! machine is only ever slower than itself.

use std::time::Instant;

use collector::{Caller, Head, Headers, Moment, Routed, route};
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::{EventId, Key, KeyKind, KeyRecord, Timestamp};

const EVENTS: usize = 50;
const ROUNDS: usize = 400;
const RUNS_PER_ROUND: u32 = 20;

fn properties(index: usize) -> String {
    format!(
        r#"{{"page":"/products/{index}","referrer":"https://search.example.test/?q=shoes","title":"Trail shoes {index}","device":{{"kind":"phone","width":390,"height":844}},"country":"DE","price":{index}.95,"quantity":2,"returning":true,"tags":["spring","sale","outdoor"],"visitor":"{:032x}"}}"#,
        index * 7_919
    )
}

fn main() {
    let bulk = (0..EVENTS).map(properties).collect::<Vec<_>>().join(",");
    let of_batch = |index: usize| {
        let id = EventId::from_bytes([7; 16]).nth(u64::try_from(index).unwrap_or_default());
        format!(
            r#"{{"id":"{id}","collection":"pageviews","timestamp":1577836800000,"properties":{}}}"#,
            properties(index)
        )
    };
    let batch = (0..EVENTS).map(of_batch).collect::<Vec<_>>().join(",");
    measure("bulk", "/3.0/projects/p/events", &format!(r#"{{"pageviews":[{bulk}]}}"#));
    measure("batch", "/3.0/projects/p/batches", &format!(r#"{{"sent_at":1577836800000,"events":[{batch}]}}"#));
    measure("single", "/3.0/projects/p/events/pageviews", &properties(1));
}

fn measure(name: &str, target: &str, body: &str) {
    let limits = Limits::default();
    let key = Key::from_random(KeyKind::Write, [7; 28]);
    let headers = Headers { authorization: Some(key.reveal()), ..Headers::default() };
    let head = Head { method: "POST", target, headers };
    let moment = Moment { now: Timestamp::from_millis(1_577_836_800_000), random: [1; 10] };
    let Ok(project) = "p".parse::<protocol::ProjectId>() else { return };
    let caller = Caller { headers, ..Caller::default() };
    let run = || {
        let Routed::Ask(asked) = route(&head, &limits) else { return 0 };
        let access = Access::known(KeyRecord::new(project.clone(), KeyKind::Write));
        asked.decide(&access, body.as_bytes(), &moment, &caller, &limits).counts.events_accepted
    };
    let mut rounds_us: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let accepted: u64 = (0..RUNS_PER_ROUND).map(|_| run()).sum();
            assert!(accepted > 0, "nothing was accepted");
            start.elapsed().as_secs_f64() * 1e6 / f64::from(RUNS_PER_ROUND)
        })
        .collect();
    rounds_us.sort_by(f64::total_cmp);
    let best = rounds_us.first().copied().unwrap_or_default();
    let median = rounds_us.get(ROUNDS / 2).copied().unwrap_or_default();
    println!("{name:6} {:6} bytes: best {best:7.1} µs, median {median:7.1} µs", body.len());
}
