//! What a running server says of what it holds, and what it forgets when told to: inspection, deletion, balance,
//! quarantine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
fn a_deletion_that_says_nothing_or_is_misspelt_deletes_nothing() {
    let (_folder, project, server) = start("delete-nothing", &[]);
    send(&server, &project, &json!({ "c": [{ "n": 1 }] }));
    check_count(&server, &project, "c", 1);
    for asked in ["filters=", "filters=[]", "filters=null", "timeframe=", "timezone=UTC", "filter=x", "timefram=x"] {
        let (status, answer) = call(&server, &project, "DELETE", &format!("/events/c?{asked}"), &project.master_key);
        assert_eq!((status, &answer["error_code"]), (400, &json!("InvalidParameterError")), "{asked}: {answer}");
        assert_eq!(count(&server, &project, "c"), 1, "{asked}");
    }
    let path = format!("/events/c?api_key={}&_=7", project.master_key);
    assert_eq!(call(&server, &project, "DELETE", &path, "").0, 204);
    assert_eq!(count(&server, &project, "c"), 0);
}

#[test]
fn a_collection_too_many_goes_to_quarantine_and_comes_back_when_another_is_deleted() {
    let (_folder, project, server) = start("collections", &[("RIVULET_LIMITS_COLLECTIONS_MAX", "2")]);
    send(&server, &project, &json!({ "a": [{}], "b": [{}], "c": [{}, {}] }));
    check_balance(&server, &project, &[("acked", 4), ("stored", 2), ("quarantined", 2)]);
    send(&server, &project, &json!({ "a": [{}] }));
    check_balance(&server, &project, &[("acked", 5), ("stored", 3), ("quarantined", 2)]);
    let (_, listed) = get(&server, &project, "/quarantine");
    let reason = listed["quarantine"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("2 collections") && reason.contains("limits.collections_max"), "{listed}");

    assert_eq!(call(&server, &project, "DELETE", "/events/b", &project.master_key).0, 204);
    let start = Instant::now();
    while count(&server, &project, "c") != 2 {
        assert!(start.elapsed() < SEEN_MAX, "{:?}", get(&server, &project, "/quarantine"));
        assert_eq!(call(&server, &project, "POST", "/quarantine/replay", &project.master_key).0, 200);
        std::thread::sleep(Duration::from_millis(500));
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

#[test]
fn what_is_deleted_is_gone_when_the_answer_comes_and_after_a_kill() {
    let (folder, project, server) = start("delete", &[]);
    let delete = |server: &Server, path: &str, key: &str| call(server, &project, "DELETE", path, key);
    let master = &project.master_key;
    let event = |n: u64, at: &str| json!({ "n": n, "user": { "id": n, "name": "x" }, "keen": { "timestamp": at } });
    let events: Vec<Value> = (0..10).map(|n| event(n, &format!("2020-01-{:02}T12:00:00Z", n + 1))).collect();
    // No waiting: what was acknowledged before the request goes.
    send(&server, &project, &json!({ "a b": events, "other": events }));
    let filters = "%5B%7B%22property_name%22%3A%22n%22%2C%22operator%22%3A%22lt%22%2C%22property_value%22%3A3%7D%5D";
    assert_eq!(delete(&server, &format!("/events/a%20b?filters={filters}"), master), (204, Value::Null));
    assert_eq!(count(&server, &project, "a b"), 7);
    // keen-analysis quotes every value; PyPI keen doesn't.
    let timeframe = "%7B%22start%22%3A%222020-01-04T00%3A00%3A00Z%22%2C%22end%22%3A%222020-01-05T00%3A00%3A00Z%22%7D";
    for (query, left) in [
        (format!("timeframe={timeframe}&timezone=%22UTC%22"), 6),
        ("timeframe=%22this_7_days%22&timezone=%22UTC%22".to_owned(), 6),
        ("timeframe=previous_7_days&timezone=3600".to_owned(), 6),
        (format!("filters={filters}&timeframe={timeframe}"), 6),
    ] {
        assert_eq!(delete(&server, &format!("/events/a%20b?{query}"), master).0, 204, "{query}");
        assert_eq!(count(&server, &project, "a b"), left, "{query}");
    }
    for (path, key, status) in [
        ("/events/a%20b?timeframe=soon", master, 400),
        ("/events/a%20b?filters=%5B%7B%7D%5D", master, 400),
        ("/events/nothing", master, 404),
        ("/events/a%20b/properties/nothing", master, 404),
        ("/events/a%20b/properties/keen.id", master, 400),
        ("/events/a%20b", &project.read_key, 403),
        ("/events/a%20b", &project.write_key, 403),
    ] {
        assert_eq!(delete(&server, path, key).0, status, "{path}");
    }
    assert_eq!(delete(&server, "/events/a%20b/properties/user.name", master).0, 204);
    let (_, described) = get(&server, &project, "/events/a%20b");
    assert!(described["properties"]["user.id"] == "num" && described["properties"].get("user.name").is_none());
    assert_eq!(delete(&server, "/events/a%20b/properties/user", master).0, 204);
    assert_eq!(delete(&server, "/events/other", master).0, 204);
    server.kill().unwrap();

    let server = Server::start(folder.path(), &[]).unwrap();
    assert_eq!((count(&server, &project, "a b"), count(&server, &project, "other")), (json!(6), json!(0)));
    let (_, described) = get(&server, &project, "/events");
    let names: Vec<&Value> = described.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["a b"], "{described}");
    assert!(described[0]["properties"].get("user.id").is_none(), "{described}");
    check_balance(&server, &project, &[("acked", 20), ("stored", 20), ("deleted", 14)]);
}

#[test]
fn a_kill_in_the_middle_of_deletions_leaves_what_was_answered_deleted() {
    let settings = [("RIVULET_STORE_TAIL_ROWS_MAX", "500")];
    let (folder, project, mut server) = start("delete-kill", &settings);
    // Numbers below this were acknowledged; one writer sends them in order and never again.
    let acked = AtomicU64::new(0);
    for kill in 0..12_u64 {
        let (stop, mut gone) = (AtomicBool::new(false), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let url = format!("{}/3.0/projects/{}/events", server.url, project.id);
                let mut number = acked.load(Ordering::SeqCst);
                while !stop.load(Ordering::SeqCst) {
                    let events: Vec<Value> = (number..number + 100).map(|n| json!({ "n": n })).collect();
                    let sent = post(&client(), &url, &project.write_key, json!({ "c": events }).to_string().as_bytes());
                    number += 100;
                    if sent.is_ok_and(|(status, _)| status == 200) {
                        acked.store(number, Ordering::SeqCst);
                    }
                }
                // What had no answer before the kill may be there; it must not look as if it had.
                acked.store(number, Ordering::SeqCst);
            });
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(150 + kill * 37 % 200) {
                let below = acked.load(Ordering::SeqCst);
                let filter = json!([{ "property_name": "n", "operator": "lt", "property_value": below }]);
                let encoded: String = filter.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
                let path = format!("/events/c?filters={encoded}");
                if call(&server, &project, "DELETE", &path, &project.master_key).0 == 204 {
                    gone = below;
                }
            }
            // The next one is cut off in the middle.
            let url = format!("{}/3.0/projects/{}/events/c?timeframe=this_1_days", server.url, project.id);
            let key = project.master_key.clone();
            scope.spawn(move || drop(client().delete(url).header("Authorization", key).call()));
            std::thread::sleep(Duration::from_millis(kill * 3));
            let id = server.id().to_string();
            assert!(std::process::Command::new("kill").args(["-9", &id]).status().unwrap().success());
            stop.store(true, Ordering::SeqCst);
        });
        server = Server::start(folder.path(), &settings).unwrap();
        balance(&server, &project);
        let filters = json!([{ "property_name": "n", "operator": "lt", "property_value": gone }]);
        let params = json!({ "event_collection": "c", "filters": filters });
        assert_eq!(ask(&client(), &server, &project, "count", &params).unwrap(), 0, "after kill {kill}");
        assert!(gone > 0 || kill == 0, "nothing was deleted before kill {kill}");
    }
}

#[test]
fn a_record_from_the_future_makes_no_id_forgotten_before_or_after_a_restart() {
    let settings = [("RIVULET_EDGE_APPEND_SECRETS", SECRET), ("RIVULET_STORE_FLUSH_AFTER_MS", "1")];
    let (folder, project, server) = start("future", &settings);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = protocol::Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap()).to_string();
    let at = |id: u8, received: &str| {
        record(&project, &[(id, "{}")]).replacen(
            "\"received_at\":\"2020-01-01T00:00:00.000Z\"",
            &format!("\"received_at\":\"{received}\""),
            1,
        )
    };
    for (id, received, stored, duplicates) in
        [(1, now.as_str(), 1, 0), (2, "2140-01-01T00:00:00.000Z", 2, 0), (1, &now, 2, 1), (2, &now, 2, 2)]
    {
        assert_eq!(signed(&server, Purpose::Append, &at(id, received)).0, 200);
        check_balance(&server, &project, &[("stored", stored), ("duplicates", duplicates)]);
    }
    let start = Instant::now();
    let committed = || {
        let text = client().get(format!("{}/metrics", server.url)).call().unwrap().body_mut().read_to_string().unwrap();
        assert!(text.contains("rivulet_balance_difference_events 0\n"), "{text}");
        text.contains("rivulet_process_committed_records 4\n")
    };
    while !committed() {
        assert!(start.elapsed() < SEEN_MAX);
        std::thread::sleep(Duration::from_millis(20));
    }
    server.kill().unwrap();
    let server = Server::start(folder.path(), &settings).unwrap();
    for id in [1, 2] {
        assert_eq!(signed(&server, Purpose::Append, &at(id, &now)).0, 200);
    }
    check_balance(&server, &project, &[("stored", 2), ("duplicates", 4)]);
    // A deleted event's repeat is recognised after a restart too.
    assert_eq!(call(&server, &project, "DELETE", "/events/edge", &project.master_key).0, 204);
    server.kill().unwrap();
    let server = Server::start(folder.path(), &settings).unwrap();
    assert_eq!(signed(&server, Purpose::Append, &at(1, &now)).0, 200);
    check_balance(&server, &project, &[("stored", 2), ("duplicates", 5), ("deleted", 2)]);
    assert_eq!(count(&server, &project, "edge"), 0);
}
