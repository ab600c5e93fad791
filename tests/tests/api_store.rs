//! What a running server says of what it holds, and what it forgets when told to: inspection, deletion, balance,
//! quarantine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::time::{Duration, Instant};

use collector::append::{self, Purpose};
use serde_json::{Value, json};
use tests::server::{Folder, Project, Server, ask, binary, client, create_project, post};

/// How long a stored event may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(10);

fn start(name: &str, settings: &[(&str, &str)]) -> (Folder, Project, Server) {
    let folder = Folder::new(name).unwrap();
    let project = create_project(folder.path()).unwrap();
    let server = Server::start(folder.path(), settings).unwrap();
    (folder, project, server)
}

/// Calls a path below the project; gives status and JSON, null when the body is empty.
fn call(server: &Server, project: &Project, method: &str, path: &str, key: &str) -> (u16, Value) {
    let url = format!("{}/3.0/projects/{}{path}", server.url, project.id);
    let request = ureq::http::Request::builder().method(method).uri(url).header("authorization", key);
    let mut response = client().run(request.body(()).unwrap()).unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("access-control-allow-origin"), "{method} {path}");
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() })
}

fn get(server: &Server, project: &Project, path: &str) -> (u16, Value) {
    call(server, project, "GET", path, &project.master_key)
}

fn send(server: &Server, project: &Project, events: &Value) {
    let url = format!("{}/3.0/projects/{}/events", server.url, project.id);
    let (status, body) = post(&client(), &url, &project.write_key, events.to_string().as_bytes()).unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(!String::from_utf8_lossy(&body).contains("false"), "{}", String::from_utf8_lossy(&body));
}

fn count(server: &Server, project: &Project, collection: &str) -> Value {
    ask(&client(), server, project, "count", &json!({ "event_collection": collection })).unwrap()
}

/// Waits until the collection holds `expected` events, and says so if it never does.
#[track_caller]
fn check_count(server: &Server, project: &Project, collection: &str, expected: u64) {
    let start = Instant::now();
    loop {
        let found = count(server, project, collection);
        if found == expected {
            return;
        }
        assert!(start.elapsed() < SEEN_MAX, "{collection} holds {found} events, not {expected}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_project_is_inspected_with_the_types_of_its_properties() {
    let (_folder, project, server) = start("inspect", &[]);
    assert_eq!(get(&server, &project, "/events"), (200, json!([])));
    let event = json!({ "n": 1.5, "s": "x", "b": true, "at": "2020-01-01T00:00:00Z", "l": [1], "z": null,
        "user": { "id": 7 }, "keen": { "location": { "coordinates": [1.0, 2.0] } } });
    send(&server, &project, &json!({ "a b/c": [event, { "n": "the first type stays" }] }));
    check_count(&server, &project, "a b/c", 2);
    let properties = json!({
        "keen.id": "string", "keen.timestamp": "datetime", "keen.created_at": "datetime", "n": "num", "s": "string",
        "b": "bool", "at": "datetime", "l": "array", "z": "null", "user.id": "num", "keen.location.coordinates": "geo",
    });
    let url = format!("/3.0/projects/{}/events/a%20b%2Fc", project.id);
    let whole = json!([{ "name": "a b/c", "properties": properties, "url": url }]);
    for key in [&project.read_key, &project.master_key] {
        assert_eq!(call(&server, &project, "GET", "/events", key), (200, whole.clone()));
    }
    assert_eq!(get(&server, &project, "/events/a%20b%2Fc"), (200, json!({ "properties": properties })));
    for path in ["user.id", "user%2Eid"] {
        let expected = json!({ "property_name": "user.id", "url": format!("{url}/properties/user.id"), "type": "num" });
        assert_eq!(get(&server, &project, &format!("/events/a%20b%2Fc/properties/{path}")), (200, expected));
    }
    for path in ["/events/nothing", "/events/a%20b%2Fc/properties/user", "/events/nothing/properties/n", "/events/a/b"]
    {
        let (status, answer) = get(&server, &project, path);
        assert_eq!((status, &answer["error_code"]), (404, &json!("ResourceNotFoundError")), "{path}");
    }
    let (status, answer) = call(&server, &project, "GET", "/events", &project.write_key);
    assert_eq!((status, &answer["error_code"]), (403, &json!("KeyNotPermittedError")));
    assert_eq!(call(&server, &project, "HEAD", "/events", &project.read_key).0, 200);
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What a signed request of the edge answers.
fn signed(server: &Server, purpose: Purpose, body: &str) -> (u16, Value) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = protocol::Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap());
    let signature = append::sign_for(purpose, &SECRET.parse().unwrap(), now, body.as_bytes());
    let request = client()
        .post(format!("{}{}", server.url, purpose.path()))
        .header(append::TIMESTAMP_HEADER, &signature.timestamp)
        .header(append::SIGNATURE_HEADER, &signature.signature)
        .header(append::REASON_HEADER, "five tries");
    let mut response = request.send(body.as_bytes()).unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap())
}

fn record(project: &Project, events: &[(u8, &str)]) -> String {
    let at = "2020-01-01T00:00:00.000Z";
    let event = |(id, properties): &(u8, &str)| {
        let properties: Value = serde_json::from_str(properties).unwrap();
        json!({ "id": format!("{id:032x}"), "collection": "edge", "timestamp": at, "properties": properties })
    };
    let events: Vec<_> = events.iter().map(event).collect();
    json!({ "v": 2, "project": project.id, "received_at": at, "events": events }).to_string()
}

/// Waits until nothing is in the log any more, and gives the balance, which must be even.
#[track_caller]
fn balance(server: &Server, project: &Project) -> Value {
    let start = Instant::now();
    loop {
        let (status, balance) = get(server, project, "/balance");
        assert_eq!((status, &balance["difference"]), (200, &json!(0)), "{balance}");
        if balance["in_log"] == 0 {
            return balance;
        }
        assert!(start.elapsed() < SEEN_MAX, "{balance}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn check_balance(server: &Server, project: &Project, expected: &[(&str, u64)]) {
    let balance = balance(server, project);
    for (name, expected) in expected {
        assert_eq!(balance[*name], *expected, "{name}: {balance}");
    }
}

#[test]
fn what_cannot_be_stored_is_listed_counted_and_replayed() {
    let settings = [("RIVULET_EDGE_APPEND_SECRETS", SECRET)];
    let (folder, project, server) = start("quarantine", &settings);
    // The append route believes the edge, so a name that the rules forbid shows only when rows are made.
    let appended = record(&project, &[(1, "{}"), (2, r#"{"a.b":1}"#), (1, "{}")]);
    assert_eq!(signed(&server, Purpose::Append, &appended).0, 200);
    check_balance(&server, &project, &[("acked", 3), ("stored", 1), ("duplicates", 1), ("quarantined", 1)]);
    let letter = format!("{}\nno record\n", record(&project, &[(3, "{}"), (4, "{}")]));
    assert_eq!(signed(&server, Purpose::Quarantine, &letter), (200, json!({ "quarantined": 2 })));
    check_balance(&server, &project, &[("acked", 5), ("stored", 1), ("quarantined", 3)]);

    let (status, listed) = get(&server, &project, "/quarantine");
    let entries = listed["quarantine"].as_array().unwrap();
    assert_eq!((status, entries.len(), &listed["next"]), (200, 2, &Value::Null), "{listed}");
    assert_eq!((&entries[0]["event"], &entries[0]["events"]), (&json!(1), &json!(1)), "{listed}");
    assert_eq!((&entries[1]["reason"], &entries[1]["events"]), (&json!("five tries"), &json!(2)), "{listed}");
    let (_, shown) = get(&server, &project, &format!("/quarantine/{}", entries[0]["number"]));
    assert!(shown["record"].as_str().unwrap().contains(r#"{"a.b":1}"#), "{shown}");
    for path in ["/quarantine/99", "/quarantine/x", "/quarantine/2"] {
        assert_eq!(get(&server, &project, path).0, 404, "{path}");
    }

    // One that still can't be stored comes back; the others are stored, once however often they are replayed.
    let replay = |path: &str| call(&server, &project, "POST", path, &project.master_key);
    assert_eq!(replay(&format!("/quarantine/{}/replay", entries[1]["number"])), (200, json!({ "replayed": 2 })));
    check_balance(&server, &project, &[("acked", 5), ("stored", 3), ("quarantined", 1), ("replayed", 2)]);
    assert_eq!(replay("/quarantine/replay"), (200, json!({ "replayed": 1, "next": null })));
    check_balance(&server, &project, &[("acked", 5), ("stored", 3), ("quarantined", 1), ("replayed", 3)]);
    assert_eq!(count(&server, &project, "edge"), 3);
    let (_, listed) = get(&server, &project, "/quarantine?from=1&limit=1");
    assert!(listed["quarantine"][0]["replayed"] == true && listed["next"].is_u64(), "{listed}");
    assert_eq!(call(&server, &project, "GET", "/quarantine", &project.read_key).0, 403);

    // The same is in the folder when nobody serves it.
    server.kill().unwrap();
    let rivulet = |arguments: &[&str]| {
        let mut command = std::process::Command::new(binary().unwrap());
        let output = command.args(arguments).arg("--data").arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let lines = rivulet(&["quarantine", "list"]);
    assert_eq!(lines.lines().count(), 4, "{lines}");
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert!(rivulet(&["quarantine", "show", &last["number"].to_string()]).contains("a.b"));
    assert_eq!(rivulet(&["quarantine", "replay"]), "{\"replayed\":1}\n");
    let server = Server::start(folder.path(), &settings).unwrap();
    check_balance(&server, &project, &[("acked", 5), ("stored", 3), ("quarantined", 1), ("replayed", 4)]);
}
