//! Runs the table of JSON inputs against the server and against the worker at the edge: both answer each the same, byte for
//! byte, and store the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::corpus::{Entry, load};
use tests::edge::{APPEND_SECRET, Edge};
use tests::server::{Folder, Project, Server, ask, client, create_project, post};

/// How long events may take until they can be counted: the edge's go through a queue first.
const COUNTED_MAX: Duration = Duration::from_secs(30);

/// Sends every entry alone and in a batch, and gives the answers.
fn run(url: &str, project: &Project, tag: &str, entries: &[Entry]) -> Vec<(u16, String)> {
    let client = client();
    let root = format!("{url}/3.0/projects/{}", project.id);
    let send = |path: &str, body: &[u8]| {
        let (status, answer) = post(&client, &format!("{root}/{path}"), &project.write_key, body).unwrap();
        (status, String::from_utf8(answer).unwrap())
    };
    // The tags make the ids of the two apart.
    let first = if tag == "server" { 0 } else { 1 << 20 };
    let both = |(number, entry): (usize, &Entry)| {
        let single = send(&format!("events/single-{tag}"), &entry.single());
        [single, send("batches", &entry.batch(&format!("batch-{tag}"), first + number))]
    };
    entries.iter().enumerate().flat_map(both).collect()
}

/// Waits until a collection holds so many events.
#[track_caller]
fn check_count(server: &Server, project: &Project, collection: &str, expected: usize) {
    let start = Instant::now();
    loop {
        let params = json!({ "event_collection": collection });
        let found = ask(&client(), server, project, "count", &params).unwrap();
        if found == json!(expected) {
            return;
        }
        assert!(start.elapsed() < COUNTED_MAX, "{collection} holds {found}, not {expected}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn server_and_edge_agree_on_every_json_input() {
    let entries = load().unwrap();
    let folder = Folder::new("json").unwrap();
    let project = create_project(folder.path()).unwrap();
    let secrets = format!("[{APPEND_SECRET:?}]");
    let server = Server::start(folder.path(), &[("RIVULET_EDGE_APPEND_SECRETS", &secrets)]).unwrap();
    let edge = Edge::start(&server, &[&project]).unwrap();

    let of_server = run(&server.url, &project, "server", &entries);
    let of_edge = run(&edge.url, &project, "worker", &entries);
    for (entry, (server, edge)) in entries.iter().zip(of_server.chunks(2).zip(of_edge.chunks(2))) {
        assert_eq!(server, edge, "{}", entry.shown());
        let single: Value = serde_json::from_str(&server[0].1).unwrap();
        assert_eq!(single["error_code"].as_str(), entry.code.as_deref(), "{}", entry.shown());
        assert_eq!(server[1].0, if entry.is_broken() { 400 } else { 200 }, "{}", entry.shown());
    }
    let stored = entries.iter().filter(|entry| entry.code.is_none()).count();
    let whole = entries.iter().filter(|entry| !entry.is_broken()).count();
    for tag in ["server", "worker"] {
        check_count(&server, &project, &format!("single-{tag}"), stored);
        check_count(&server, &project, &format!("batch-{tag}"), 2 * whole + stored);
    }
}
