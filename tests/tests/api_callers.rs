//! What only the server knows of callers: who stands behind a proxy, and where; and scripts as answers of queries.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::server::{Folder, Project, Server, ask, client, create_project};

/// The one network of the file of places.
const IN_BERLIN: &str = "203.0.113.9";

fn counted(server: &Server, project: &Project, collection: &str, filters: &Value) -> Value {
    let params = json!({"event_collection": collection, "timeframe": "this_1_years", "filters": filters});
    ask(&client(), server, project, "count", &params).unwrap()
}

fn send(server: &Server, project: &Project, collection: &str, forwarded: &str, event: &str) {
    let url = format!("{}/3.0/projects/{}/events/{collection}", server.url, project.id);
    let request = client().post(url).header("Authorization", &project.write_key).header("X-Forwarded-For", forwarded);
    assert_eq!(request.send(event).unwrap().status(), 201, "{event}");
    let start = Instant::now();
    while counted(server, project, collection, &json!([])) != 1 {
        assert!(start.elapsed() < Duration::from_secs(20), "the event of {collection} is not counted");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_place_is_found_for_the_caller_whom_a_trusted_proxy_names() {
    let folder = Folder::new("callers").unwrap();
    let project = create_project(folder.path()).unwrap();
    let places = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/places.mmdb");
    let event = r#"{"ip":"${keen.ip}","geo":{"asked":true},"keen":{"addons":[
        {"name":"keen:ip_to_geo","input":{"ip":"ip"},"output":"geo"}]}}"#;
    let berlin = json!([{"property_name": "geo.city", "operator": "eq", "property_value": "Berlin"}]);
    for (collection, proxies, forwarded, found) in [
        ("named", r#"["127.0.0.0/8"]"#, format!("198.51.100.1, {IN_BERLIN}"), 1),
        ("invented", r#"["127.0.0.0/8"]"#, format!("{IN_BERLIN}, 198.51.100.1"), 0),
        ("untrusted", "[]", IN_BERLIN.to_owned(), 0),
    ] {
        let settings = [("RIVULET_HTTP_TRUSTED_PROXIES", proxies), ("RIVULET_PLACES_DATABASE", places)];
        let server = Server::start(folder.path(), &settings).unwrap();
        send(&server, &project, collection, &forwarded, event);
        assert_eq!(counted(&server, &project, collection, &berlin), found, "{collection}");
        let kept = json!([{"property_name": "ip", "operator": "ne", "property_value": null}]);
        assert_eq!(counted(&server, &project, collection, &kept), 0, "the address of {collection} is kept");
    }
}

#[test]
fn a_query_is_answered_as_a_script() {
    let folder = Folder::new("scripts").unwrap();
    let project = create_project(folder.path()).unwrap();
    let server = Server::start(folder.path(), &[]).unwrap();
    let path = format!("{}/3.0/projects/{}/queries/count", server.url, project.id);
    for (query, key, expected) in [
        ("event_collection=c&jsonp=f", &project.read_key, r#"f({"result":0})"#),
        ("event_collection=c", &project.read_key, r#"{"result":0}"#),
        ("event_collection=c&jsonp=f(1)", &project.read_key, r#"{"result":0}"#),
        ("jsonp=f", &project.read_key, r#"f({"error_code":"#),
        ("jsonp=f", &project.write_key, r#"f({"error_code":"KeyNotPermittedError","#),
    ] {
        let mut response = client().get(format!("{path}?{query}&api_key={key}")).call().unwrap();
        assert_eq!((response.status().as_u16(), query), (200, query));
        assert_eq!(
            response.headers().get("access-control-allow-origin").map(|value| value.as_bytes()),
            Some(&b"*"[..])
        );
        let body = response.body_mut().read_to_string().unwrap();
        assert!(body.starts_with(expected), "{query}: {body}");
    }
}
