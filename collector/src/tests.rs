//! The collector as a shell sees it: a request and what is known of its key go in, reply, record and counts come out.
//!
//! All go through [`check`] or [`send`], so the inside may change without touching them.

mod caller;
mod forms;
mod properties;

use flate2::Compression;
use flate2::write::GzEncoder;
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::{Key, KeyKind, KeyRecord, ProjectId, Timestamp};
use serde_json::{Value, json};
use std::io::Write;

use crate::{Caller, Counts, Decision, Head, Headers, Moment, Reply, Routed, route};

/// 2020-01-01T00:00:00.000Z
const NOW: Timestamp = Timestamp::from_millis(1_577_836_800_000);
const EVENTS: &str = "/3.0/projects/p/events";

fn key(kind: KeyKind) -> Key {
    Key::from_random(kind, [7; 28])
}

fn project() -> ProjectId {
    "p".parse().unwrap()
}

fn write_access() -> Access {
    Access::known(KeyRecord::new(project(), KeyKind::Write))
}

/// Runs one request whose look-up finds `access`.
fn run(method: &str, target: &str, headers: Headers<'_>, access: &Access, body: &[u8]) -> Decision {
    let limits = Limits { events_max: 100, ..Limits::default() };
    match route(&Head { method, target, headers }, &limits) {
        Routed::Reply(reply) => Decision { project: None, reply, record: None, counts: Counts::default() },
        Routed::Ask(asked) => {
            let moment = Moment { now: NOW, random: [0; 10] };
            let decision = asked.decide(access, body, &moment, &Caller { headers, ..Caller::default() }, &limits);
            if let Err(reply) = asked.admit(access) {
                assert_eq!(
                    (&decision.reply, &decision.record),
                    (&reply, &None),
                    "what is not admitted is not decided on"
                );
            }
            decision
        }
    }
}

/// Posts with a good write key.
fn send(target: &str, body: impl AsRef<[u8]>) -> Decision {
    let key = key(KeyKind::Write);
    let headers = Headers { authorization: Some(key.reveal()), ..Headers::default() };
    run("POST", target, headers, &write_access(), body.as_ref())
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

/// Posts and compares status and body.
#[track_caller]
fn check(target: &str, body: &str, status: u16, expected: &str) {
    let decision = send(target, body);
    assert_eq!((decision.reply.status, text(&decision.reply)), (status, expected), "{body}");
}

/// The code of the envelope; panics when the reply is not one.
#[track_caller]
fn error_code(reply: &Reply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(body["message"].is_string(), "{body}");
    body["error_code"].as_str().unwrap().to_owned()
}

fn record_value(decision: &Decision) -> Value {
    serde_json::from_slice(decision.record.as_ref().unwrap()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn one_event_becomes_one_record() {
    let decision = send("/3.0/projects/p/events/signed%20up", r#"{"plan": "pro"}"#);
    assert_eq!((decision.reply.status, text(&decision.reply)), (201, r#"{"created":true}"#));
    let expected = concat!(
        r#"{"v":2,"project":"p","received_at":"2020-01-01T00:00:00.000Z","events":[{"#,
        r#""id":"016f5e66e80000000000000000000000","collection":"signed up","#,
        r#""timestamp":"2020-01-01T00:00:00.000Z","properties":{"plan": "pro"}}]}"#
    );
    assert_eq!(String::from_utf8(decision.record.unwrap()).unwrap(), expected);
    assert_eq!(decision.counts, Counts { events_accepted: 1, ..Counts::default() });
}

#[test]
fn a_pixel_without_an_event_is_a_broken_event() {
    let access = write_access();
    for query in ["data=", "data", "x=1&data=", "data=%ff", "data=***", "data=IA"] {
        let reply = run("GET", &format!("{EVENTS}/c?{query}"), Headers::default(), &access, b"").reply;
        assert_eq!((reply.status, error_code(&reply).as_str()), (400, "InvalidEventError"), "{query}");
    }
    let reply = run("GET", &format!("{EVENTS}/c?data=&jsonp=f"), Headers::default(), &access, b"").reply;
    assert!(text(&reply).starts_with("f({\"error_code\":\"InvalidEventError\""), "{}", text(&reply));
    assert_eq!(run("GET", &format!("{EVENTS}/c?dat=e30"), Headers::default(), &access, b"").reply.status, 404);
}

#[test]
fn a_path_leads_to_one_answer() {
    for (method, target, status) in [
        ("POST", "/3.0/projects/p/events/c", 201),
        ("POST", "/3.0/projects/p/events/a%2Fb", 201),
        ("POST", "http://host/3.0/projects/p/events/c?api_key=ignored&x=1", 201),
        ("POST", "/3.0/projects/p/events/a/b", 404),
        ("POST", "/3.0/projects/p/events/", 404),
        ("POST", "/3.0/projects/p/events/%24a", 400),
        ("POST", "/3.0/projects/p/events/%zz", 400),
        ("POST", "/3.0/projects/a%20b/events/c", 404),
        ("POST", "/2.0/projects/p/events/c", 404),
        ("POST", "/3.0/projects/p", 404),
        ("POST", "/", 404),
        ("GET", "/3.0/projects/p/events/c", 404),
        ("HEAD", "/3.0/projects/p/events/c?data=e30", 404),
        ("PUT", "/3.0/projects/p/events/c", 405),
        ("GET", "/3.0/projects/p/events", 404),
        ("GET", "/3.0/projects/p/batches", 405),
        ("OPTIONS", "/anything", 204),
    ] {
        let key = key(KeyKind::Write);
        let headers = Headers { authorization: Some(key.reveal()), ..Headers::default() };
        let reply = run(method, target, headers, &write_access(), b"{}").reply;
        assert_eq!(reply.status, status, "{method} {target}");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("*"), "{method} {target}");
        assert_eq!(reply.header("Allow").is_some(), status == 405, "{method} {target}");
        if status >= 400 {
            error_code(&reply);
        }
    }
    let long = format!("{EVENTS}/c?x={}", "y".repeat(20_000));
    assert_eq!(send(&long, "{}").reply.status, 413);
}

#[test]
fn a_key_opens_what_it_is_for() {
    let other = Access::known(KeyRecord::new("q".parse().unwrap(), KeyKind::Master));
    let revoked = Access::known(KeyRecord { is_active: false, ..KeyRecord::new(project(), KeyKind::Write) });
    let known = |kind| Access::known(KeyRecord::new(project(), kind));
    for (access, status, code) in [
        (known(KeyKind::Write), 201, None),
        (known(KeyKind::Master), 201, None),
        (known(KeyKind::Read), 403, Some("KeyNotPermittedError")),
        (known(KeyKind::Access), 403, Some("KeyNotPermittedError")),
        (revoked, 401, Some("InvalidApiKeyError")),
        (other, 401, Some("InvalidApiKeyError")),
        (Access::UnknownKey, 401, Some("InvalidApiKeyError")),
        (Access::UnknownProject, 404, Some("ResourceNotFoundError")),
    ] {
        let key = key(KeyKind::Write);
        let headers = Headers { authorization: Some(key.reveal()), ..Headers::default() };
        // The body is broken too, which nobody without a right to write may learn.
        let body: &[u8] = if code.is_some() { b"broken" } else { b"{}" };
        let decision = run("POST", "/3.0/projects/p/events/c", headers, &access, body);
        assert_eq!(decision.reply.status, status, "{access:?}");
        assert_eq!(code.map(str::to_owned), code.map(|_| error_code(&decision.reply)), "{access:?}");
        assert_eq!(decision.record.is_some(), status == 201, "{access:?}");
    }
}

#[test]
fn the_key_is_found_in_header_or_parameter() {
    let (write, master) = (key(KeyKind::Write), key(KeyKind::Master));
    let (write, master) = (write.reveal(), master.reveal());
    for (header, parameter, expected) in [
        (Some(write.to_owned()), "", Some(write)),
        (Some(format!("Bearer {write}")), "", Some(write)),
        (Some(format!("bearer  {write} ")), "", Some(write)),
        (Some(format!("Basic {write}")), "", None),
        (None, write, Some(write)),
        (Some(String::new()), write, Some(write)),
        (Some(master.to_owned()), write, Some(master)),
        (Some("malformed".to_owned()), write, None), // the header wins even so
        (None, "malformed", None),
        (None, "", None),
    ] {
        let target = format!("{EVENTS}/c?api_key={parameter}");
        let headers = Headers { authorization: header.as_deref(), ..Headers::default() };
        let Routed::Ask(asked) = route(&Head { method: "POST", target: &target, headers }, &Limits::default()) else {
            panic!("{target}");
        };
        let expected = expected.map(|text| text.parse::<Key>().unwrap().hash());
        assert_eq!(asked.key.hash().copied(), expected, "{header:?} {parameter}");
    }
}

#[test]
fn a_body_that_is_no_event_is_refused() {
    for (body, code) in [
        ("", "InvalidEventError"),
        ("  ", "InvalidEventError"),
        ("[]", "InvalidEventError"),
        ("\"a\"", "InvalidEventError"),
        ("{\"a\":1", "InvalidEventError"),
        ("{} {}", "InvalidEventError"),
        ("{\"a\":01}", "InvalidEventError"),
        ("{\"a\":\"\t\"}", "InvalidEventError"),
        ("{\"a\":NaN}", "InvalidEventError"),
        ("\u{feff}{}", "InvalidEventError"),
        (r#"{"a.b":1}"#, "InvalidPropertyNameError"),
        (r#"{"a":1,"a":1}"#, "InvalidPropertyNameError"),
        (r#"{"a":1e999}"#, "InvalidPropertyValueError"),
        (r#"{"a":"\ud800"}"#, "InvalidPropertyValueError"),
        (r#"{"keen":1}"#, "NamespaceTypeError"),
        (r#"{"keen":{"id":"x"}}"#, "InvalidKeenNamespaceProperty"),
        (r#"{"keen":{"created_at":"2020-01-01"}}"#, "InvalidKeenNamespaceProperty"),
        (r#"{"keen":{"other":1}}"#, "InvalidKeenNamespaceProperty"),
        (r#"{"keen":{"timestamp":1577836800}}"#, "InvalidPropertyValueError"),
        (r#"{"keen":{"timestamp":"yesterday"}}"#, "InvalidPropertyValueError"),
        (r#"{"keen":{"uniqueness_token":""}}"#, "InvalidPropertyValueError"),
        (r#"{"keen":{"uniqueness_token":7}}"#, "InvalidPropertyValueError"),
    ] {
        let decision = send("/3.0/projects/p/events/c", body);
        assert_eq!((decision.reply.status, &*error_code(&decision.reply)), (400, code), "{body}");
        assert!(decision.record.is_none(), "{body}");
    }
    assert_eq!(error_code(&send("/3.0/projects/p/events/c", b"{\"a\":\"\xff\"}").reply), "InvalidEventError");
}

#[test]
fn keen_properties_set_time_and_id() {
    for (keen, timestamp) in [
        (r#"{"timestamp":"2019-05-05T01:02:03.456789+02:00"}"#, "2019-05-04T23:02:03.456Z"),
        (r#"{"timestamp":"2019-05-05T01:02:03.456789"}"#, "2019-05-05T01:02:03.456Z"),
        (r#"{"time\u0073tamp":"2019-05-05"}"#, "2019-05-05T00:00:00.000Z"),
        (r#"{"location":{"coordinates":[1,2]},"addons":[]}"#, "2020-01-01T00:00:00.000Z"),
    ] {
        let decision = send("/3.0/projects/p/events/c", format!(r#"{{"keen":{keen}}}"#));
        assert_eq!(record_value(&decision)["events"][0]["timestamp"], timestamp, "{keen}");
    }
    let id = |collection: &str, token: &str| {
        let body = format!(r#"{{"keen":{{"uniqueness_token":"{token}"}}}}"#);
        record_value(&send(&format!("{EVENTS}/{collection}"), body))["events"][0]["id"].clone()
    };
    assert_eq!(id("c", "t"), id("c", "\\u0074"));
    assert_ne!(id("c", "t"), id("d", "t"));
    assert_ne!(id("c", "t"), id("c", "u"));
    assert_eq!(send("/3.0/projects/p/events/c", token_of(64)).reply.status, 201);
    assert_eq!(send("/3.0/projects/p/events/c", token_of(65)).reply.status, 400);
}

fn token_of(chars: usize) -> String {
    format!(r#"{{"keen":{{"uniqueness_token":"{}"}}}}"#, "ü".repeat(chars))
}

#[test]
fn encodings_are_gzip_or_none() {
    let body = br#"{"c":[{"a":1}]}"#;
    let (packed, bomb) = (gzip(body), gzip(&vec![b' '; 11_000_000]));
    for (encoding, body, status) in [
        (None, &body[..], 200),
        (Some("identity"), body, 200),
        (Some("gzip"), &packed, 200),
        (Some(" GZIP "), &packed, 200),
        (Some("x-gzip"), &packed, 200),
        (None, &packed, 400),
        (Some("gzip"), body, 400),
        (Some("gzip"), &packed[..10], 400),
        (Some("gzip"), &bomb, 413),
        (Some("br"), body, 415),
        (Some("gzip, gzip"), body, 415),
        (Some("zstd"), body, if cfg!(feature = "zstd") { 400 } else { 415 }),
    ] {
        let key = key(KeyKind::Write);
        let headers = Headers { authorization: Some(key.reveal()), content_encoding: encoding, ..Headers::default() };
        let decision = run("POST", EVENTS, headers, &write_access(), body);
        assert_eq!(decision.reply.status, status, "{encoding:?} {}", text(&decision.reply));
        if encoding == Some("gzip") {
            let stranger = run("POST", EVENTS, headers, &Access::UnknownKey, body);
            assert_eq!(stranger.reply.status, 401, "nothing is decompressed for a stranger");
        }
    }
}

#[test]
fn a_declared_length_beyond_the_limit_is_refused_before_the_body() {
    for (length, status) in [("10000000", 201), ("10000001", 413), ("99999999999999999999999", 201), ("-", 201)] {
        let key = key(KeyKind::Write);
        let headers = Headers { authorization: Some(key.reveal()), content_length: Some(length), ..Headers::default() };
        let decision = run("POST", "/3.0/projects/p/events/c", headers, &write_access(), b"{}");
        assert_eq!(decision.reply.status, status, "{length}");
    }
}

#[test]
fn an_event_may_be_written_by_get() {
    let key = key(KeyKind::Write);
    let get = |query: &str, access: &Access| {
        let target = format!("{EVENTS}/c?api_key={}&modified=1&{query}&c=clv1", key.reveal());
        run("GET", &target, Headers::default(), access, b"")
    };
    let data = "data=eyJhIjoxfQ%3D%3D"; // {"a":1}
    let pixel = get(data, &write_access());
    assert_eq!((pixel.reply.status, pixel.reply.header("Content-Type")), (200, Some("image/gif")));
    assert_eq!(pixel.reply.header("Cache-Control"), Some("no-store"));
    assert_eq!(record_value(&pixel)["events"][0]["properties"], json!({"a": 1}));
    let script = get(&format!("{data}&jsonp=cb"), &write_access());
    assert_eq!((script.reply.status, text(&script.reply)), (200, r#"cb({"created":true})"#));
    let redirect = get(&format!("{data}&redirect=https%3A%2F%2Fexample.test%2F"), &write_access());
    assert_eq!((redirect.reply.status, redirect.reply.header("Location")), (302, Some("https://example.test/")));

    let stranger = get(&format!("{data}&jsonp=cb"), &Access::UnknownKey);
    assert!(text(&stranger.reply).starts_with(r#"cb({"error_code":"InvalidApiKeyError""#));
    assert_eq!((stranger.reply.status, stranger.record), (200, None));
    for (query, status) in
        [("data=*", 400), ("data=W10", 400), ("data=e30&jsonp=a(b)", 400), ("data=e30&redirect=x", 400)]
    {
        assert_eq!(get(query, &write_access()).reply.status, status, "{query}");
    }
}
