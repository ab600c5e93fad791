//! What a running server promises beside the scenario files: time-outs, restarts, revocation, `rivulet load`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use collector::append;
use protocol::Timestamp;
use serde_json::{Value, json};
use tests::server::{Folder, Project, Server, ask, binary, client, create_project, post};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// How long a stored event may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(10);

fn start(name: &str, settings: &[(&str, &str)]) -> (Folder, Project, Server) {
    let folder = Folder::new(name).unwrap();
    let project = create_project(folder.path()).unwrap();
    let server = Server::start(folder.path(), settings).unwrap();
    (folder, project, server)
}

/// Waits until the collection holds `expected` events, and says so if it never does.
#[track_caller]
fn check_count(server: &Server, project: &Project, collection: &str, expected: u64) {
    let start = Instant::now();
    let params = json!({ "event_collection": collection });
    loop {
        let count = ask(&client(), server, project, "count", &params).unwrap();
        if count == expected {
            return;
        }
        assert!(start.elapsed() < SEEN_MAX, "{collection} holds {count} events, not {expected}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes raw bytes and gives what comes back until the server closes or `wait` is over.
fn talk(server: &Server, parts: &[&[u8]], between: Duration, wait: Duration) -> String {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(wait)).unwrap();
    for part in parts {
        stream.write_all(part).unwrap();
        std::thread::sleep(between);
    }
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 {
            return format!("{}[closed]", String::from_utf8_lossy(&bytes));
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn load(server: &Server, project: &Project, file: &std::path::Path) -> Output {
    Command::new(binary().unwrap())
        .arg("load")
        .arg(file)
        .args(["--collection", "loaded", "--project", &project.id, "--server", &server.url])
        .env("RIVULET_KEY", &project.write_key)
        .output()
        .unwrap()
}

#[test]
fn a_head_or_a_body_that_never_ends_is_not_waited_for() {
    let settings = [("RIVULET_HTTP_HEADER_MS_MAX", "300"), ("RIVULET_HTTP_BODY_MS_MAX", "300")];
    let (_folder, project, server) = start("slow", &settings);
    let wait = Duration::from_secs(20);
    let half_head = talk(&server, &[b"POST /3.0/projects/x/events HTTP/1.1\r\nHost: x\r\n"], Duration::ZERO, wait);
    assert!(half_head.ends_with("[closed]"), "{half_head:?}");
    let head = format!(
        "POST /3.0/projects/{}/events/c HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 100\r\n\r\n{{",
        project.id, project.write_key
    );
    let half_body = talk(&server, &[head.as_bytes()], Duration::ZERO, wait);
    assert!(half_body.starts_with("HTTP/1.1 408") && half_body.contains("RequestTimeoutError"), "{half_body:?}");
    assert!(half_body.contains("retry-after"), "{half_body:?}");
}

#[test]
fn a_key_that_is_revoked_while_its_body_comes_opens_nothing() {
    let (folder, project, server) = start("revoked", &[]);
    let head = format!(
        "POST /3.0/projects/{}/events/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\nContent-Length: 2\r\n\r\n{{",
        project.id, project.write_key
    );
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let revoke = Command::new(binary().unwrap())
        .args(["key", "revoke", &project.write_key, "--project", &project.id, "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(revoke.status.success(), "{revoke:?}");
    stream.write_all(b"}").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
}

#[test]
fn an_append_needs_a_signature_and_an_old_one_is_a_duplicate_after_a_restart_too() {
    let settings = [("RIVULET_EDGE_APPEND_SECRETS", SECRET), ("RIVULET_STORE_FLUSH_AFTER_MS", "1")];
    let (folder, project, server) = start("append", &settings);
    // Received nine days ago: it waited at the edge, longer than ids are remembered by the clock.
    let now = Timestamp::from_millis(
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap(),
    );
    let received = now.plus_millis(-9 * 86_400_000);
    let record = json!({ "v": 1, "project": project.id, "received_at": received.to_string(), "events": [
        { "id": "0123456789abcdef0123456789abcdef", "collection": "edge", "timestamp": received.to_string(), "properties": {} },
    ]})
    .to_string();
    let signed = append::sign(&SECRET.parse().unwrap(), now, record.as_bytes());
    let send = |server: &Server, signature: &str| {
        let request = client()
            .post(format!("{}{}", server.url, append::PATH))
            .header(append::TIMESTAMP_HEADER, &signed.timestamp)
            .header(append::SIGNATURE_HEADER, signature);
        request.send(record.as_bytes()).unwrap().status().as_u16()
    };
    assert_eq!(send(&server, "v1=00"), 401);
    assert_eq!(send(&server, &format!("v1={}", "0".repeat(64))), 401);
    assert_eq!(send(&server, &signed.signature), 200);
    check_count(&server, &project, "edge", 1);
    // Until its row is in a segment, so that the log is not what remembers it.
    let start = Instant::now();
    while start.elapsed() < SEEN_MAX && !metric(&server, "rivulet_process_committed_records 1") {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.kill().unwrap();
    let server = Server::start(folder.path(), &settings).unwrap();
    assert_eq!(send(&server, &signed.signature), 200);
    let start = Instant::now();
    while start.elapsed() < SEEN_MAX && !metric(&server, "rivulet_process_events_duplicate_total 1") {
        std::thread::sleep(Duration::from_millis(20));
    }
    check_count(&server, &project, "edge", 1);
}

fn metric(server: &Server, line: &str) -> bool {
    let text = client().get(format!("{}/metrics", server.url)).call().unwrap().body_mut().read_to_string().unwrap();
    text.lines().any(|found| found == line)
}

#[test]
fn a_file_is_loaded_whole_bad_lines_are_counted_and_a_second_run_goes_on() {
    let (folder, project, server) = start("load", &[]);
    let file = folder.path().join("events.ndjson");
    let mut bytes = "\u{feff}{\"n\":1}\r\n\n{\"n\":2}\noops\n".as_bytes().to_vec();
    bytes.extend(b"\xff\xfe\n[1]\n");
    bytes.extend(format!("{{\"long\":\"{}\"}}\n", "x".repeat(1_100_000)).into_bytes());
    bytes.extend(b"{\"n\":3}");
    std::fs::write(&file, &bytes).unwrap();
    let first = load(&server, &project, &file);
    let said = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(said.ends_with("8 lines, 3 accepted, 4 refused\n"), "{said} {first:?}");
    assert!(!first.status.success() && String::from_utf8_lossy(&first.stderr).contains("line 4: "), "{first:?}");
    check_count(&server, &project, "loaded", 3);

    // The file grows after its last line, which had no end; only what is new is sent.
    bytes.extend(b"\n{\"n\":4}\n");
    std::fs::write(&file, &bytes).unwrap();
    load(&server, &project, &file);
    check_count(&server, &project, "loaded", 4);

    // Without the note everything is sent again, and recognised.
    std::fs::remove_file(folder.path().join("events.ndjson.rivulet-load")).unwrap();
    let third = load(&server, &project, &file);
    assert!(String::from_utf8_lossy(&third.stdout).contains("9 lines, 4 accepted"), "{third:?}");
    let params = json!({ "event_collection": "loaded", "group_by": "n" });
    check_count(&server, &project, "loaded", 4);
    let rows = ask(&client(), &server, &project, "count", &params).unwrap();
    assert_eq!(rows, json!((1..=4).map(|n| json!({ "n": n, "result": 1 })).collect::<Vec<_>>()));

    // A file that was changed where it had been loaded already is noticed.
    bytes[5] = b'm';
    std::fs::write(&file, &bytes).unwrap();
    let changed = load(&server, &project, &file);
    assert!(String::from_utf8_lossy(&changed.stderr).contains("changed since"), "{changed:?}");
}

#[test]
fn a_forced_filter_of_a_key_holds_for_queries_and_pictures() {
    let (folder, project, server) = start("forced", &[]);
    let filter =
        |value: &str| json!({ "property_name": "customer", "operator": "eq", "property_value": value }).to_string();
    let make = |filter: &str| {
        Command::new(binary().unwrap())
            .args(["key", "create", "--json", "--kind", "read", "--project", &project.id, "--filter", filter, "--data"])
            .arg(folder.path())
            .output()
            .unwrap()
    };
    let group = format!(r#"{{"operator":"or","operands":[{}],"property_name":"x"}}"#, filter("a"));
    for wrong in [filter("a").replace("eq", "equals"), group, r#"{"property_name":"x"}"#.to_owned()] {
        let refused = make(&wrong);
        assert!(!refused.status.success(), "{wrong} {refused:?}");
    }
    let made: Value = serde_json::from_slice(&make(&filter("a")).stdout).unwrap();
    let key = made["key"].as_str().unwrap();
    let events = json!({ "sales": [{ "customer": "a" }, { "customer": "b" }, { "customer": "b" }] }).to_string();
    let root = format!("{}/3.0/projects/{}", server.url, project.id);
    assert_eq!(post(&client(), &format!("{root}/events"), &project.write_key, events.as_bytes()).unwrap().0, 200);
    check_count(&server, &project, "sales", 3);
    for filters in [json!([]), json!([{ "property_name": "customer", "operator": "exists", "property_value": true }])] {
        let body = json!({ "event_collection": "sales", "filters": filters }).to_string();
        let (status, answer) = post(&client(), &format!("{root}/queries/count"), key, body.as_bytes()).unwrap();
        assert_eq!((status, String::from_utf8_lossy(&answer).as_ref()), (200, r#"{"result":1}"#));
    }
    let picture = format!("{root}/charts/count.svg?event_collection=sales&api_key={key}");
    let svg = client().get(&picture).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(svg.contains("\n1\n") && !svg.contains("\n3\n"), "{svg}");
}
