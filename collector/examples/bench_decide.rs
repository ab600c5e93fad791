//! Measures the collector alone: microseconds for one batch of 50 events and 20 KB, in each form.
//!
//! `cargo run --release -p collector --example bench_decide`. Prints the best and the median of many rounds, because a shared
//! machine is only ever slower than itself.

use std::time::Instant;

use collector::{Caller, Head, Headers, Moment, Routed, route};
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::record::Location;
use protocol::{EventId, Key, KeyKind, KeyRecord, Timestamp};

const EVENTS: usize = 50;
const ROUNDS: usize = 400;
const RUNS_PER_ROUND: u32 = 20;
/// A browser's, so that the caller costs what one costs.
const AGENT: &str = "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.5845.172 Mobile Safari/537.36";

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
    let page = auto_tracked();
    measure("page", "/3.0/projects/p/events/pageviews", &page);
    measure("bulk", "/3.0/projects/p/events", &format!(r#"{{"pageviews":[{bulk}]}}"#));
    measure("batch", "/3.0/projects/p/batches", &format!(r#"{{"sent_at":1577836800000,"events":[{batch}]}}"#));
    measure("single", "/3.0/projects/p/events/pageviews", &properties(1));
}

/// An event as keen-tracking sends it by itself: add-ons, placeholders, empty objects for what is added.
fn auto_tracked() -> String {
    let addon = |name: &str, input: &str, output: &str| {
        format!(r#"{{"name":"keen:{name}","input":{{{input}}},"output":"{output}"}}"#)
    };
    let addons = [
        addon("ip_to_geo", r#""ip":"ip_address","remove_ip_property":true"#, "geo"),
        addon("ua_parser", r#""ua_string":"user_agent""#, "tech"),
        addon("url_parser", r#""url":"url.full""#, "url.info"),
        addon("url_parser", r#""url":"referrer.full""#, "referrer.info"),
        addon("date_time_parser", r#""date_time":"keen.timestamp""#, "time.utc"),
        addon("date_time_parser", r#""date_time":"local_time_full""#, "time.local"),
        addon("referrer_parser", r#""referrer_url":"referrer.full","page_url":"url.full""#, "referrer.info"),
    ];
    format!(
        r#"{{"ip_address":"${{keen.ip}}","user_agent":"${{keen.user_agent}}","geo":{{}},"tech":{{"profile":{{"cookies":true,"screen":{{"width":390,"height":844}}}}}},"url":{{"full":"https://shop.example.test/products/7","info":{{}}}},"referrer":{{"full":"","info":{{}}}},"time":{{"utc":{{}},"local":{{}}}},"local_time_full":"2020-01-02T03:04:05.678+01:00","page":{{"title":"Trail shoes","description":"{}"}},"keen":{{"timestamp":"2020-01-02T03:04:05.678Z","addons":[{}]}}}}"#,
        "Shoes for trails, and trails for shoes. ".repeat(10),
        addons.join(",")
    )
}

fn measure(name: &str, target: &str, body: &str) {
    let limits = Limits::default();
    let key = Key::from_random(KeyKind::Write, [7; 28]);
    let headers = Headers {
        authorization: Some(key.reveal()),
        origin: Some("https://shop.example.test"),
        user_agent: Some(AGENT),
        ..Headers::default()
    };
    let head = Head { method: "POST", target, headers };
    let moment = Moment { now: Timestamp::from_millis(1_577_836_800_000), random: [1; 10] };
    let Ok(project) = "p".parse::<protocol::ProjectId>() else { return };
    let locate =
        |_| Some(Location { city: Some("Berlin".into()), coordinates: Some([13.4, 52.5]), ..Location::default() });
    let address = "203.0.113.9".parse().ok();
    let caller = Caller { headers, address, locate: Some(&locate), salt: Some(&[7; 32]) };
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
