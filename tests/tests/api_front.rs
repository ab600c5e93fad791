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

/// Connects and gives what comes back within `wait`, and whether the server closed.
fn bytes_back(server: &Server, sent: &[u8], wait: Duration) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(wait)).unwrap();
    stream.write_all(sent).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, true),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => return (bytes, error.kind() == std::io::ErrorKind::ConnectionReset),
        }
    }
}

#[test]
fn nobody_holds_a_connection_by_saying_little() {
    let settings = [("RIVULET_HTTP_HEADER_MS_MAX", "300"), ("RIVULET_HTTP_IDLE_MS_MAX", "600")];
    let (_folder, _project, server) = start("silent", &settings);
    let wait = Duration::from_secs(20);
    const GET: &str = "GET /live HTTP/1.1\r\nHost: x\r\n\r\n";
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (what, sent, answers) in [
        ("nothing", &b""[..], 0),
        ("the beginning of a preface", b"PRI *", 0),
        ("half a head", b"GET /live HT", 0),
        ("HTTP/2 without a request", PREFACE, 0),
        ("a request and then nothing", GET.as_bytes(), 1),
        ("a request and half a head", format!("{GET}GET /li").as_bytes(), 1),
    ] {
        let begun = std::time::Instant::now();
        let (bytes, is_closed) = bytes_back(&server, sent, wait);
        assert!(is_closed, "{what}: {bytes:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {:?}", begun.elapsed());
        let found = String::from_utf8_lossy(&bytes).matches("HTTP/1.1 200").count();
        assert_eq!(found, answers, "{what}: {}", String::from_utf8_lossy(&bytes));
    }
    // It was HTTP/2 that answered the preface: its first frame is one of settings.
    assert_eq!(bytes_back(&server, PREFACE, wait).0.get(3), Some(&4));
}

#[test]
fn a_body_that_stops_arriving_is_not_waited_for_and_one_that_goes_on_is() {
    let settings = [("RIVULET_HTTP_BODY_PAUSE_MS_MAX", "400"), ("RIVULET_GATE_BODY_GRACE_MS", "10")];
    let (_folder, project, server) = start("pause", &settings);
    for (pause, status) in [(50, "HTTP/1.1 201"), (4_000, "HTTP/1.1 408")] {
        let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!(
            "POST /3.0/projects/{}/events/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\nContent-Length: 20\r\n\r\n",
            project.id, project.write_key
        );
        stream.write_all(head.as_bytes()).unwrap();
        for byte in br#"{"a":"0123456789ab"}"# {
            std::thread::sleep(Duration::from_millis(pause));
            if stream.write_all(&[*byte]).is_err() || pause > 1_000 {
                break;
            }
        }
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        assert!(reply.starts_with(status), "{pause} ms: {reply}");
    }
}

#[test]
fn a_server_that_is_told_to_stop_answers_what_it_has_begun() {
    let (folder, project, server) = start("drain", &[]);
    let head = format!(
        "POST /3.0/projects/{}/events/c HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 2\r\n\r\n{{",
        project.id, project.write_key
    );
    let idle = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let told = std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(told.success());
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(b"}").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 201") && reply.contains("connection: close"), "{reply}");
    drop((idle, server));
    let log = std::fs::read_to_string(folder.path().join("stderr.log")).unwrap();
    assert!(log.contains("stopping") && !log.contains("requests were still running"), "{log}");
}

#[test]
fn what_a_body_unpacks_to_takes_room_too() {
    let (_folder, project, server) = start("room", &[("RIVULET_HTTP_BODIES_BYTES_MAX", "65536")]);
    let url = format!("{}/3.0/projects/{}/events", server.url, project.id);
    // By its size on the network, and by what the record of it turns out to be.
    for (events, status) in [(20, 200), (3_000, 503)] {
        let text = format!(r#"{{"c":[{}]}}"#, vec![r#"{"a":"aaaaaaaaaaaaaaaaaaaa"}"#; events].join(","));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(packed.len() < 4_000, "{}", packed.len());
        let request = client().post(&url).header("authorization", &project.write_key);
        let answer = request.header("content-encoding", "gzip").send(&packed).unwrap();
        assert_eq!(answer.status().as_u16(), status, "{events} events");
    }
}

#[test]
fn beside_a_folder_of_pages_the_api_still_answers_in_its_envelope() {
    let pages = Folder::new("pages").unwrap();
    std::fs::write(pages.path().join("a.html"), "page").unwrap();
    let (_folder, _project, server) = start("web", &[("RIVULET_WEB", pages.path().to_str().unwrap())]);
    let ask = |method: &str, path: &str| {
        talk(&server, &format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
    };
    assert!(ask("GET", "/a.html").ends_with("\r\n\r\npage"));
    assert!(ask("HEAD", "/a.html").starts_with("HTTP/1.1 200"));
    assert!(ask("GET", "/nope").starts_with("HTTP/1.1 404"));
    for path in ["/nope", "/a.html"] {
        for method in ["POST", "DELETE"] {
            let answer = ask(method, path);
            assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("error_code"), "{method} {path}: {answer}");
            assert!(answer.contains("access-control-allow-origin: *"), "{method} {path}: {answer}");
        }
        let answer = ask("OPTIONS", path);
        assert!(answer.contains("access-control-allow-origin: *"), "{path}: {answer}");
    }
}

#[test]
fn a_request_keeps_its_id_and_a_failure_names_it() {
    let (_folder, project, server) =
        start("ids", &[("RIVULET_GATE_WRITES_MAX", "1"), ("RIVULET_GATE_BODY_GRACE_MS", "60000")]);
    let head = |more: &str| {
        format!(
            "POST /3.0/projects/{}/events/c HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 2\r\nX-Request-Id: mine-1\r\n{more}\r\n",
            project.id, project.write_key
        )
    };
    let answer = talk(&server, "GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: a b\r\n\r\n");
    assert!(answer.contains("x-request-id: ") && !answer.contains("a b"), "{answer}");
    // One write takes the only place, the next is sent away.
    let mut holds = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    holds.write_all(head("").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let answer = talk(&server, &head("Expect: 100-continue\r\n"));
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("x-request-id: mine-1"), "{answer}");
    assert!(answer.contains(r#""unique_id":"mine-1"}"#), "{answer}");
    holds.write_all(b"{}").unwrap();
    let mut buffer = [0; 12];
    holds.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 201");
}

#[test]
fn who_finds_no_place_is_sent_away_on_the_same_connection_as_often_as_he_comes() {
    let few = [
        ("RIVULET_GATE_WRITES_MAX", "1"),
        ("RIVULET_GATE_BODY_GRACE_MS", "60000"),
        ("RIVULET_GATE_RETRY_AFTER_S", "1"),
    ];
    let (_folder, project, server) = start("repeats", &few);
    let connect = || TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /3.0/projects/{}/batches HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 2\r\n\r\n",
        project.id, project.write_key
    );
    let mut holds = connect();
    holds.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut repeats = connect();
    for _ in 0..3 {
        repeats.write_all(format!("{head}{{}}").as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let read = repeats.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
        assert!(answer.starts_with("http/1.1 429") && answer.contains("retry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("x-request-id: ") && answer.contains("toomanyrequests"), "{answer}");
    }
}

#[test]
fn neither_keys_nor_addresses_nor_values_reach_a_log_or_a_metric() {
    const CANARY: &str = "canary7301";
    let (folder, project, server) = start("canary", &[("RIVULET_LOG", "trace"), ("RIVULET_GATE_WRITES_MAX", "8")]);
    let url = |path: &str| format!("{}/3.0/projects/{path}", server.url);
    let (id, key) = (&project.id, &project.write_key);
    let event =
        format!(r#"{{"mail":"{CANARY}@example.com","nested":{{"{CANARY}":1}},"keen":{{"timestamp":"{CANARY}"}}}}"#);
    let good = format!(r#"{{"mail":"{CANARY}@example.com"}}"#);
    let bodies = [
        good.as_str(),
        &event,
        CANARY,
        "{",
        &format!("{{\"c\":[{event},{good}]}}"),
        &format!("{{\"{CANARY}.$\":[1]}}"),
    ];
    for body in bodies {
        for path in [
            format!("{id}/events/c"),
            format!("{id}/events"),
            format!("{id}/batches"),
            format!("{id}/events/{CANARY}?api_key={key}&x={CANARY}"),
            format!("{id}/queries/count?event_collection={CANARY}"),
            format!("{CANARY}/events/c"),
            format!("{id}/{CANARY}"),
        ] {
            for presented in [key, &project.read_key, &CANARY.to_owned()] {
                let _ = client()
                    .post(url(&path))
                    .header("Authorization", presented)
                    .header("X-Forwarded-For", "203.0.113.77")
                    .header("User-Agent", CANARY)
                    .header("X-Request-Id", key)
                    .send(body.as_bytes())
                    .unwrap();
            }
        }
    }
    let metrics = client().get(format!("{}/metrics", server.url)).call().unwrap().body_mut().read_to_string().unwrap();
    drop(server);
    let log = std::fs::read_to_string(folder.path().join("stderr.log")).unwrap();
    assert!(log.contains("answered"), "the access log is on");
    for text in [&log, &metrics] {
        for secret in [key.as_str(), &project.read_key, &project.master_key, CANARY, "203.0.113.77"] {
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(secret)).take(3).collect();
            assert!(lines.is_empty(), "{lines:#?}");
        }
    }
}
