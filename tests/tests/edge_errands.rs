//! What the worker asks of the server and of the objects that its isolates share, with a stand-in for the server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of it is a test, its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use collector::append::{Purpose, verify_for};
use protocol::{KeyKind, KeyRecord, Permit, Timestamp};
use serde_json::{Value, json};
use tests::edge::{APPEND_SECRET, Edge, Setup};
use tests::server::{Project, client};
use tests::standin::{Asked, StandIn};

const APPEND: &str = "/3.0/internal/append";
const QUARANTINE: &str = "/3.0/internal/quarantine";
const RESOLVE: &str = "/3.0/internal/resolve";

fn project() -> Project {
    let key = |kind, digit| protocol::Key::from_random(kind, [digit; 28]).reveal().to_owned();
    Project {
        id: "0123456789abcdef01234567".to_owned(),
        master_key: key(KeyKind::Master, 1),
        read_key: key(KeyKind::Read, 2),
        write_key: key(KeyKind::Write, 3),
    }
}

fn start(server: &StandIn, change: impl FnOnce(&mut Setup)) -> Edge {
    let mut setup = Setup { faults: true, ..Setup::new(&server.url, &[&project()]).unwrap() };
    change(&mut setup);
    Edge::start_with(&setup).unwrap()
}

fn get(edge: &Edge, path: &str, fault: &str) -> Value {
    let mut response = client().get(format!("{}{path}", edge.url)).header("x-fault", fault).call().unwrap();
    serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
}

/// Posts and gives status, `Retry-After` and body.
fn post(edge: &Edge, path: &str, key: &str, fault: &str, body: &str) -> (u16, Option<u64>, Value) {
    let request = client().post(format!("{}{path}", edge.url)).header("Authorization", key).header("x-fault", fault);
    let mut response = request.send(body).unwrap();
    let wait = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), wait, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn write(edge: &Edge, key: &str, fault: &str) -> u16 {
    post(edge, &format!("/3.0/projects/{}/events/c", project().id), key, fault, "{}").0
}

#[track_caller]
fn assert_signed(asked: &Asked, purpose: Purpose) {
    let (time, signature) = (asked.header("rivulet-timestamp"), asked.header("rivulet-signature"));
    let now = Timestamp::from_millis(time.unwrap().parse::<i64>().unwrap() * 1_000);
    let secret = APPEND_SECRET.parse().unwrap();
    verify_for(purpose, &[secret], time, signature, &asked.body, now).unwrap();
}

#[test]
fn what_the_log_refuses_goes_to_quarantine_and_dead_letters_wait_in_the_bucket() {
    let status = Arc::new(AtomicU16::new(200));
    let answered = Arc::clone(&status);
    let server = StandIn::start(move |asked| match answered.load(Ordering::SeqCst) {
        200 if asked.path == APPEND && asked.body.windows(3).any(|bytes| bytes == b"bad") => (400, String::new()),
        status => (status, String::new()),
    })
    .unwrap();
    let edge = start(&server, |_| {});
    let deliver = |queue: &str, fault: &str, messages: Value| {
        post(&edge, &format!("/faults/queue/{queue}"), "", fault, &messages.to_string()).2
    };
    for (server_status, queue, fault, messages, outcomes, spilled) in [
        (200, "events", "", json!(["one", "two"]), json!(["ack", "ack"]), 0),
        // One is bad: it alone goes to quarantine, and so does what is no text.
        (200, "events", "", json!(["one", "bad", "two"]), json!(["ack", "ack", "ack"]), 0),
        (200, "events", "", json!([{ "a": 1 }]), json!(["ack"]), 0),
        (503, "events", "", json!(["one"]), json!(["retry"]), 0),
        (401, "events", "", json!(["one", "two"]), json!(["retry", "retry"]), 0),
        (503, "events-dead", "", json!(["three", "bad"]), json!(["ack", "ack"]), 1),
        (503, "events-dead", "bucket=reject", json!(["four"]), json!(["retry"]), 1),
        (200, "events-dead", "", json!(["five"]), json!(["ack"]), 1),
    ] {
        status.store(server_status, Ordering::SeqCst);
        assert_eq!(deliver(queue, fault, messages.clone()), outcomes, "{server_status} {queue} {fault} {messages}");
        assert_eq!(get(&edge, "/faults/bucket", "").as_array().unwrap().len(), spilled, "{queue} {messages}");
    }
    let quarantined = server.asked(QUARANTINE);
    let bodies: Vec<_> = quarantined.iter().map(|asked| String::from_utf8_lossy(&asked.body).into_owned()).collect();
    assert_eq!(bodies, ["bad", r#"{"a":1}"#]);
    assert_eq!(quarantined[0].header("rivulet-reason"), Some("append answered 400"));
    quarantined.iter().for_each(|asked| assert_signed(asked, Purpose::Quarantine));

    // While the server is away the bucket keeps what it has; then it is empty, the bad one in quarantine.
    for (server_status, left) in [(503, 1), (200, 0)] {
        status.store(server_status, Ordering::SeqCst);
        post(&edge, "/faults/drain", "", "", "");
        assert_eq!(get(&edge, "/faults/bucket", "").as_array().unwrap().len(), left, "{server_status}");
    }
    assert_eq!(server.asked(QUARANTINE).len(), 3);
    assert!(server.asked(APPEND).iter().any(|asked| asked.body == b"three"));
}

#[test]
fn a_scoped_key_is_what_the_server_says_and_is_asked_for_once() {
    let status = Arc::new(AtomicU16::new(200));
    let answered = Arc::clone(&status);
    let server = StandIn::start(move |asked| {
        let question: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let mut record = KeyRecord::new(project().id.parse().unwrap(), KeyKind::Access);
        if question["key"].as_str().is_some_and(|key| key.starts_with("aa")) {
            record.permitted = vec![Permit::Writes];
        }
        (answered.load(Ordering::SeqCst), serde_json::to_string(&record).unwrap())
    })
    .unwrap();
    let edge = start(&server, |_| {});
    let (writes, reads, unknown, other) = ("aa".repeat(40), "bb".repeat(40), "cc".repeat(40), "dd".repeat(40));
    for (server_status, key, expected) in
        [(200, &writes, 201), (200, &writes, 201), (200, &reads, 403), (404, &unknown, 401), (500, &other, 503)]
    {
        status.store(server_status, Ordering::SeqCst);
        assert_eq!(write(&edge, key, ""), expected, "{server_status} {key}");
    }
    let asked = server.asked(RESOLVE);
    assert_eq!(asked.len(), 4);
    let question: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(question, json!({ "project": project().id, "key": writes }));
    asked.iter().for_each(|asked| assert_signed(asked, Purpose::Resolve));
}

#[test]
fn a_revoked_key_is_believed_for_twenty_seconds_after_kv_knows() {
    let server = StandIn::start(|_| (200, String::new())).unwrap();
    let edge = start(&server, |_| {});
    let key: protocol::Key = project().write_key.parse().unwrap();
    assert_eq!(write(&edge, key.reveal(), ""), 201);
    let mut record = KeyRecord::new(project().id.parse().unwrap(), KeyKind::Write);
    record.is_active = false;
    let put = client().put(format!("{}/faults/kv/key:{}", edge.url, key.hash().to_hex()));
    assert_eq!(put.send(serde_json::to_string(&record).unwrap()).unwrap().status(), 200);
    // Cloudflare's own cache adds 30 s, which the simulator does not have.
    for (later_ms, status) in [(10_000, 201), (20_500, 401), (60_000, 401)] {
        assert_eq!(write(&edge, key.reveal(), &format!("later={later_ms}")), status, "{later_ms}");
    }
}

#[test]
fn a_key_that_sends_too_much_is_slowed_down_and_comes_back() {
    let server = StandIn::start(|_| (200, String::new())).unwrap();
    let edge = start(&server, |setup| setup.rates = Some(json!({ "key_events_per_s": 8 })));
    let (id, key) = (project().id, project().write_key);
    let bulk = json!({ "c": vec![json!({}); 4] }).to_string();
    let batch = json!({ "sent_at": 1, "events": [] }).to_string();
    // A burst of 16 events, 2 of them on credit; whatever the time it takes, not 100 of them.
    let mut passed = 0;
    let refused = (0..25).find_map(|_| {
        let answer = post(&edge, &format!("/3.0/projects/{id}/events"), &key, "", &bulk);
        if answer.0 == 200 {
            passed += 4;
            return None;
        }
        Some(answer)
    });
    let (status, wait, answer) = refused.expect("100 events passed");
    assert!((4..=32).contains(&passed), "{passed}");
    assert_eq!((status, answer["error_code"].as_str()), (503, Some("ServiceUnavailableError")));
    let wait_s = wait.expect("no Retry-After");
    assert!((1..=10).contains(&wait_s), "{wait_s}");
    // Our SDK understands 429.
    let path = format!("/3.0/projects/{id}/batches");
    assert_eq!(post(&edge, &path, &key, "", &batch).0, 429);
    // Another key of the project has a budget of its own, and later there is some again.
    assert_eq!(write(&edge, &project().master_key, ""), 201);
    assert_eq!(write(&edge, &key, &format!("later={}", wait_s * 1_000 + 500)), 201);
}

#[test]
fn limits_that_fail_let_events_pass_and_addresses_are_counted_too() {
    let server = StandIn::start(|_| (200, String::new())).unwrap();
    let edge = start(&server, |setup| setup.rates = Some(json!({ "key_events_per_s": 8 })));
    let bulk = json!({ "c": vec![json!({}); 20] }).to_string();
    let path = format!("/3.0/projects/{}/events", project().id);
    for fault in ["limits=reject", "limits=hang"] {
        for _ in 0..3 {
            assert_eq!(post(&edge, &path, &project().write_key, fault, &bulk).0, 200, "{fault}");
        }
    }
    let edge = start(&server, |setup| setup.rates = Some(json!({ "address_events_per_s": 8 })));
    let statuses: Vec<u16> = (0..3).map(|_| post(&edge, &path, &project().write_key, "", &bulk).0).collect();
    assert_eq!((statuses[0], statuses[2]), (200, 503), "{statuses:?}");
}

#[test]
fn the_salt_is_the_same_all_day_and_ends_within_48_hours() {
    let server = StandIn::start(|_| (200, String::new())).unwrap();
    let edge = start(&server, |_| {});
    let today = get(&edge, "/faults/salt", "");
    assert_eq!(get(&edge, "/faults/salt", ""), today);
    assert_eq!(today["salt"].as_str().map(str::len), Some(64));
    let tomorrow = get(&edge, "/faults/salt", "later=86400000");
    assert_eq!(tomorrow["day"].as_i64(), today["day"].as_i64().map(|day| day + 1));
    assert_ne!(tomorrow["salt"], today["salt"]);
    for key in tomorrow["keys"].as_array().unwrap() {
        let day: i64 = key["name"].as_str().and_then(|name| name.strip_prefix("salt:")).unwrap().parse().unwrap();
        let end_s = key["expiration"].as_i64().unwrap();
        assert!((day + 1) * 86_400 <= end_s && end_s <= (day + 2) * 86_400, "{key}");
    }
}
