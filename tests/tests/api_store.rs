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

use serde_json::{Value, json};
use tests::server::{Folder, Project, Server, ask, client, create_project, post};

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
