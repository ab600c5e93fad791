//! What the server's front promises: budgets, time limits, protocols, request ids, and that nothing private is logged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tests::server::{Folder, Project, Server, client, create_project, post};

fn start(name: &str, settings: &[(&str, &str)]) -> (Folder, Project, Server) {
    let folder = Folder::new(name).unwrap();
    let project = create_project(folder.path()).unwrap();
    let server = Server::start(folder.path(), settings).unwrap();
    (folder, project, server)
}

/// Writes raw bytes and gives what comes back until the server closes or nothing more comes.
fn talk(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_budget_that_is_spent_slows_each_form_down_in_its_own_way_before_the_body() {
    for (limit, setting) in [
        ("key", ("RIVULET_RATES_KEY_EVENTS_PER_S", "3")),
        ("key", ("RIVULET_RATES_KEY_BYTES_PER_S", "50")),
        ("address", ("RIVULET_RATES_ADDRESS_EVENTS_PER_S", "3")),
        ("address", ("RIVULET_RATES_ADDRESS_BYTES_PER_S", "50")),
    ] {
        let settings = [setting, ("RIVULET_RATES_LIMIT_LOOPBACK", "true"), ("RIVULET_RATES_BURST_S", "1")];
        let (_folder, project, server) = start("rates", &settings);
        let url = format!("{}/3.0/projects/{}/events", server.url, project.id);
        let events = format!(r#"{{"c":[{}]}}"#, vec![r#"{"a":1}"#; 100].join(","));
        // More than the burst may come once; what it cost is paid off before the next.
        assert_eq!(post(&client(), &url, &project.write_key, events.as_bytes()).unwrap().0, 200, "{setting:?}");
        for (path, status) in [("events", "HTTP/1.1 503"), ("events/c", "HTTP/1.1 503"), ("batches", "HTTP/1.1 429")] {
            let head = format!(
                "POST /3.0/projects/{}/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
                project.id, project.write_key
            );
            let reply = talk(&server, &head);
            assert!(reply.starts_with(status) && reply.contains("retry-after: "), "{setting:?} {path}: {reply}");
            assert!(reply.contains("access-control-allow-origin: *"), "{reply}");
        }
        let others = post(&client(), &url, &project.master_key, br#"{"c":[{}]}"#).unwrap().0;
        assert_eq!(others, if limit == "key" { 200 } else { 503 }, "{setting:?}: another key");
        let metrics = client().get(format!("{}/metrics", server.url)).call().unwrap().body_mut().read_to_string();
        let line = format!("rivulet_collect_requests_limited_total{{limit=\"{limit}\"}}");
        assert!(metrics.unwrap().contains(&line), "{line}");
    }
}
