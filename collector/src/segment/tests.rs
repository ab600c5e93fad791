//! Segment's door as its libraries see it: a call goes in, answer and record come out.

use protocol::access::{Access, Grant};
use protocol::limits::Limits;
use protocol::settings::{AddressPolicy, ProjectSettings, UserAgentPolicy};
use protocol::{EventId, Key, KeyKind, KeyRecord, Timestamp};
use serde_json::{Value, json};

use crate::{Caller, Decision, Head, Headers, Moment, Routed, route};

/// 2020-01-01T00:00:00.000Z
const NOW: Timestamp = Timestamp::from_millis(1_577_836_800_000);

fn key() -> Key {
    Key::from_random(KeyKind::Write, [7; 28])
}

/// Does what a shell does: `authorization` and the key in the body lead to a project's write key when they are right.
fn run(target: &str, headers: Headers<'_>, body: &str, settings: &ProjectSettings) -> Decision {
    let limits = Limits::default();
    let mut asked = match route(&Head { method: "POST", target, headers }, &limits) {
        Routed::Ask(asked) => asked,
        Routed::Reply(reply) => {
            return Decision { project: None, reply, record: None, counts: crate::Counts::default() };
        }
    };
    let key_record = KeyRecord::new("p".parse().unwrap(), KeyKind::Write);
    let known = Access::Known(Grant { key: key_record.into(), settings: settings.clone().into() });
    let access = |asked: &crate::Asked| {
        if asked.key.hash() == Some(&key().hash()) { known.clone() } else { Access::UnknownKey }
    };
    let unread = |reply| Decision { project: None, reply, record: None, counts: crate::Counts::default() };
    // As the shells do: a key in the body is looked for first.
    if asked.awaits_key() {
        if body.len() > asked.body_bytes_max {
            return unread(asked.too_large());
        }
        asked.find_key(body.as_bytes());
    }
    if let Err(reply) = asked.admit(&access(&asked)) {
        return unread(reply);
    }
    let moment = Moment { now: NOW, random: [0; 10] };
    asked.decide(&access(&asked), body.as_bytes(), &moment, &Caller { headers, ..Caller::default() }, &limits)
}

fn send(target: &str, body: &str) -> Decision {
    let key = key();
    let headers = Headers { authorization: Some(key.reveal()), ..Headers::default() };
    run(target, headers, body, &ProjectSettings::default())
}

fn reply(decision: &Decision) -> (u16, Value) {
    (decision.reply.status, serde_json::from_slice(&decision.reply.body).unwrap())
}

/// The events of the record.
fn events(decision: &Decision) -> Vec<Value> {
    let record: Value = serde_json::from_slice(decision.record.as_ref().unwrap()).unwrap();
    record["events"].as_array().unwrap().clone()
}

/// Sends one call and compares collection and properties.
#[track_caller]
fn check(path: &str, body: Value, collection: &str, properties: Value) {
    let decision = send(&format!("/v1/{path}"), &body.to_string());
    assert_eq!(reply(&decision), (200, json!({"success": true})), "{body}");
    let made = events(&decision);
    assert_eq!((&made[0]["collection"], &made[0]["properties"]), (&json!(collection), &properties), "{body}");
}

#[test]
fn each_call_has_its_collection_and_keeps_its_members() {
    let user = json!({"userId": "u", "anonymousId": "a", "messageId": "m"});
    let with = |more: Value| {
        let mut whole = user.clone();
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    let made = |kind: &str, more: Value| {
        let mut whole = json!({"type": kind, "user_id": "u", "anonymous_id": "a", "message_id": "m"});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    for (path, more, collection, kind, kept) in [
        ("track", json!({"event": "Signed Up", "properties": {"plan": "pro"}}), "Signed Up", "track", None),
        ("t", json!({"event": "café"}), "tracks", "track", None), // no legal name of a collection
        ("t", json!({"event": "$x"}), "tracks", "track", None),
        ("t", json!({}), "tracks", "track", None),
        ("page", json!({"name": "Home", "category": "Docs"}), "pages", "page", None),
        ("p/", json!({"properties": {"url": "https://x.test/?a=b"}}), "pages", "page", None),
        ("s", json!({"name": "Start"}), "screens", "screen", None),
        ("i", json!({"traits": {"plan": "free"}}), "identifies", "identify", None),
        ("g", json!({"groupId": "g"}), "groups", "group", Some(json!({"group_id": "g"}))),
        ("a", json!({"previousId": "q"}), "aliases", "alias", Some(json!({"previous_id": "q"}))),
        (
            "t",
            json!({"writeKey": "secret", "sentAt": null, "x.y": {"$z": 1}, "keen": {"id": 1}}),
            "tracks",
            "track",
            Some(json!({"x_y": {"_z": 1}, "_keen": {"id": 1}})),
        ),
        ("t", json!({"user_id": 5}), "tracks", "track", Some(json!({"user_id_": 5}))),
    ] {
        check(path, with(more.clone()), collection, made(kind, kept.unwrap_or(more)));
    }
    check("t", json!({"user_id": 5}), "tracks", json!({"type": "track", "user_id": 5}));
}

#[test]
fn a_batch_is_answered_once_and_names_what_it_refuses() {
    let good = json!({"type": "track", "event": "a", "messageId": "1"});
    for (path, batch, status, answer) in [
        ("batch", json!([good, {"type": "page"}]), 200, json!({"success": true})),
        ("b", json!([]), 200, json!({"success": true})),
        (
            "import",
            json!([good, 5, {"type": "x"}, {"type": "track", "a": "\u{0}"}]),
            200,
            json!({
            "success": true, "accepted": 1, "refused": [
                {"index": 1, "code": "InvalidEventError", "message": "event is not an object"},
                {"index": 2, "code": "InvalidEventError",
                 "message": "type is none of track, page, screen, identify, group and alias"},
                {"index": 3, "code": "InvalidPropertyValueError", "message": "a string holds NUL"},
            ]}),
        ),
        ("batch", json!([{"type": "batch"}, good, good, {}]), 200, Value::Null),
        (
            "batch",
            json!([{"event": "a"}]),
            400,
            json!({"success": false, "error_code": "InvalidEventError",
            "message": "type is none of track, page, screen, identify, group and alias"}),
        ),
        ("batch", json!({}), 400, Value::Null),
    ] {
        let decision = send(&format!("/v1/{path}"), &json!({"batch": batch}).to_string());
        assert_eq!(decision.reply.status, status, "{batch}");
        if !answer.is_null() {
            assert_eq!(reply(&decision).1, answer, "{batch}");
        }
        let received = batch.as_array().map_or(0, Vec::len) as u64;
        let refused: u64 = decision.counts.refused.iter().map(|(_, count)| count).sum();
        assert_eq!(decision.counts.events_accepted + refused, received, "{batch}");
    }
    for body in ["{}", "[]", "", "{", r#"{"batch":{}}"#, r#"{"batch":[}"#] {
        let decision = send("/v1/batch", body);
        assert_eq!((decision.reply.status, reply(&decision).1["success"].clone()), (400, json!(false)), "{body}");
    }
}

#[test]
fn times_are_corrected_by_when_it_was_sent() {
    for (event, batch, expected) in [
        (json!({"timestamp": "2019-12-31T23:00:00Z"}), json!({}), "2019-12-31T23:00:00.000Z"),
        (
            json!({"timestamp": "2030-05-05T01:00:00+02:00"}),
            json!({"sentAt": "2030-05-04T23:00:10Z"}),
            "2019-12-31T23:59:50.000Z",
        ),
        (
            json!({"originalTimestamp": 1000, "sentAt": 3000}),
            json!({"sentAt": "2030-05-04T23:00:10Z"}),
            "2019-12-31T23:59:58.000Z",
        ),
        (json!({"timestamp": null}), json!({"sentAt": "not a time"}), "2020-01-01T00:00:00.000Z"),
        (json!({}), json!({"sentAt": "2030-05-04T23:00:10Z"}), "2020-01-01T00:00:00.000Z"),
    ] {
        let mut whole = batch.clone();
        let mut inner = event.clone();
        inner["type"] = json!("track");
        whole["batch"] = json!([inner]);
        assert_eq!(events(&send("/v1/batch", &whole.to_string()))[0]["timestamp"], expected, "{whole}");
    }
    let refused = send("/v1/track", r#"{"timestamp":"yesterday"}"#);
    assert_eq!(reply(&refused).1["error_code"], "InvalidPropertyValueError");
}

#[test]
fn a_message_id_makes_the_event_id() {
    let id = |body: &str| events(&send("/v1/track", body))[0]["id"].clone();
    assert_eq!(id(r#"{"messageId":"m","event":"a"}"#), EventId::from_foreign("segment", "m").to_string());
    assert_eq!(id(r#"{"messageId":"m","event":"a"}"#), id(r#"{"messageId":"\u006d","event":"b"}"#));
    let none = events(&send("/v1/batch", r#"{"batch":[{"type":"page"},{"type":"page","messageId":""}]}"#));
    assert_ne!(none[0]["id"], none[1]["id"]);
}

#[test]
fn the_context_keeps_what_the_settings_keep() {
    let agent = "X/1.2";
    for (address, user_agent, gpc, ip, expected) in [
        (AddressPolicy::Drop, UserAgentPolicy::Reduced, None, "203.0.113.7", json!({"userAgent": "X/1.0"})),
        (
            AddressPolicy::Keep,
            UserAgentPolicy::Full,
            None,
            "203.0.113.7",
            json!({"ip": "203.0.113.7", "userAgent": "X/1.2"}),
        ),
        (
            AddressPolicy::Truncate,
            UserAgentPolicy::Full,
            None,
            "203.0.113.7",
            json!({"ip": "203.0.113.0", "userAgent": "X/1.2"}),
        ),
        (
            AddressPolicy::Truncate,
            UserAgentPolicy::Full,
            None,
            "2001:db8:1:2::3",
            json!({"ip": "2001:db8:1::", "userAgent": "X/1.2"}),
        ),
        (AddressPolicy::Keep, UserAgentPolicy::Full, None, "me", json!({"userAgent": "X/1.2"})),
        (AddressPolicy::Keep, UserAgentPolicy::Full, Some("1"), "203.0.113.7", json!({})),
    ] {
        let mut settings = ProjectSettings::default();
        (settings.privacy.address, settings.privacy.user_agent) = (address, user_agent);
        let key = key();
        let headers = Headers { authorization: Some(key.reveal()), gpc, ..Headers::default() };
        let body = json!({"context": {"ip": ip, "userAgent": agent}}).to_string();
        let made = events(&run("/v1/track", headers, &body, &settings));
        assert_eq!(made[0]["properties"]["context"], expected, "{address:?} {user_agent:?} {gpc:?} {ip}");
    }
    let body = r#"{"context":{"library":{"name":"x"},"ip":"1.1.1.1"},"batch":[{"type":"page","context":{"library":1}},{"type":"page"},{"type":"page","context":null}]}"#;
    let made: Vec<_> =
        events(&send("/v1/batch", body)).iter().map(|event| event["properties"]["context"].clone()).collect();
    assert_eq!(made, [json!({"library": 1}), json!({"library": {"name": "x"}}), json!(null)]);
}

#[test]
fn nothing_of_the_caller_passes_under_another_name() {
    let body = json!({
        "IP": "203.0.113.7", "Context": {"Ip": "203.0.113.7"},
        "context": {
            "IP": "203.0.113.7", "locale": "en",
            "device": {"ip": "203.0.113.7", "model": "Pixel 7"},
            "user_agent": "X/1.2.3",
            "list": [{"Ip_Address": "203.0.113.7", "a.b": 1}, {"ip": 1}, 2],
            "userAgentData": {
                "brands": [{"brand": "X", "version": "1"}], "mobile": true, "platform": "Android",
                "model": "Pixel 7", "platformVersion": "13.0.1", "fullVersionList": [],
            },
        },
        "options": {"\u{69}p": "203.0.113.7", "context": {"ip": "203.0.113.7"}, "User Agent": "X/1.2.3"},
        "properties": {"ip": "of a printer"},
    });
    for (gpc, expected) in [
        (
            None,
            json!({
                "type": "track", "Context": {},
                "context": {
                    "locale": "en", "device": {"model": "Pixel 7"}, "user_agent": "X/1.0.0", "list": [{"a_b": 1}, {}, 2],
                    "userAgentData": {
                        "brands": [{"brand": "X", "version": "1"}], "mobile": true, "platform": "Android",
                    },
                },
                "options": {"context": {}, "User Agent": "X/1.0.0"},
                "properties": {"ip": "of a printer"},
            }),
        ),
        (
            Some("1"),
            json!({
                "type": "track", "Context": {},
                "context": {"locale": "en", "list": [{"a_b": 1}, {}, 2]},
                "options": {"context": {}},
                "properties": {"ip": "of a printer"},
            }),
        ),
    ] {
        let key = key();
        let headers = Headers { authorization: Some(key.reveal()), gpc, ..Headers::default() };
        let made = events(&run("/v1/track", headers, &body.to_string(), &ProjectSettings::default()));
        assert_eq!(made[0]["properties"], expected, "{gpc:?}");
    }
    let mut full = ProjectSettings::default();
    full.privacy.user_agent = UserAgentPolicy::Full;
    let key = key();
    let headers = Headers { authorization: Some(key.reveal()), ..Headers::default() };
    let made = events(&run("/v1/track", headers, &body.to_string(), &full));
    assert_eq!(made[0]["properties"]["context"]["userAgentData"], body["context"]["userAgentData"]);
    // A context that is no object is none.
    for context in [json!(["203.0.113.7"]), json!("203.0.113.7"), json!(7)] {
        let body = json!({"context": context, "options": context}).to_string();
        let kept = json!({"type": "track", "context": null, "options": null});
        assert_eq!(events(&send("/v1/track", &body))[0]["properties"], kept, "{context}");
    }
    // Nor what a batch says of all its events.
    let body =
        json!({"context": {"device": {"ip": "203.0.113.7"}, "IP": "x"}, "batch": [{"type": "page"}]}).to_string();
    assert_eq!(events(&send("/v1/batch", &body))[0]["properties"], json!({"type": "page", "context": {"device": {}}}));
}

#[test]
fn the_key_may_come_in_four_ways_and_nothing_is_unpacked_without_it() {
    let (key, other) = (key(), Key::from_random(KeyKind::Write, [8; 28]));
    // "user:" in base64, computed by the standard's own alphabet.
    let basic = |key: &Key| format!("Basic {}", base64(&format!("{}:", key.reveal())));
    let in_body = |key: &Key| format!(r#"{{"event":"a","writeKey":"{}"}}"#, key.reveal());
    let plain = r#"{"event":"a"}"#.to_owned();
    let large = format!(r#"{{"x":["{}"],"writeKey":"{}"}}"#, "1\",\"".repeat(20_000), key.reveal());
    for (authorization, query, body, encoding, status) in [
        (Some(basic(&key)), String::new(), plain.clone(), None, 200),
        (Some(basic(&other)), String::new(), in_body(&key), None, 401), // the header wins
        (Some("Basic *".to_owned()), String::new(), plain.clone(), None, 401),
        (Some(format!("Bearer {}", key.reveal())), String::new(), plain.clone(), None, 200),
        (Some(key.reveal().to_owned()), String::new(), plain.clone(), None, 200),
        (None, format!("?writeKey={}", key.reveal()), plain.clone(), None, 200),
        (None, String::new(), in_body(&key), None, 200),
        (None, String::new(), in_body(&other), None, 401),
        (None, String::new(), plain.clone(), None, 401),
        (None, String::new(), "{".to_owned(), None, 401),
        (None, String::new(), large, None, 413),
        (None, String::new(), in_body(&key), Some("gzip"), 401),
        (Some(basic(&key)), String::new(), plain.clone(), Some("br"), 415),
    ] {
        let headers =
            Headers { authorization: authorization.as_deref(), content_encoding: encoding, ..Headers::default() };
        let length = body.len().to_string();
        let headers = Headers { content_length: Some(&length), ..headers };
        let decision = run(&format!("/v1/track{query}"), headers, &body, &ProjectSettings::default());
        assert_eq!(decision.reply.status, status, "{authorization:?} {query} {encoding:?}");
        assert_eq!(reply(&decision).1["success"], json!(status == 200));
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
    let digits = bits.as_bytes().chunks(6).map(|six| {
        let six = std::str::from_utf8(six).unwrap();
        char::from(DIGITS[usize::from_str_radix(&format!("{six:0<6}"), 2).unwrap()])
    });
    digits.collect()
}

#[test]
fn only_segments_calls_are_answered_and_too_many_get_429() {
    for (method, target, status) in [
        ("POST", "/v1/screen", 200),
        ("GET", "/v1/track", 405),
        ("POST", "/v1/other", 404),
        ("POST", "/v1", 404),
        ("POST", "/v1/track/x", 404),
        ("POST", "/v2/track", 404),
        ("OPTIONS", "/v1/track", 204),
    ] {
        let key = key();
        let headers = Headers { authorization: Some(key.reveal()), ..Headers::default() };
        let status_found = match route(&Head { method, target, headers }, &Limits::default()) {
            Routed::Reply(reply) => reply.status,
            Routed::Ask(asked) => {
                let reply = asked.slow_down(3);
                assert_eq!((reply.status, reply.header("Retry-After")), (429, Some("3")));
                200
            }
        };
        assert_eq!(status_found, status, "{method} {target}");
    }
}

#[test]
fn what_a_batch_says_of_all_its_events_does_not_make_gigabytes_of_a_few_bytes() {
    let body = |context: Value, events: usize| {
        let events = vec![json!({"type": "page"}); events];
        json!({"context": context, "batch": events}).to_string()
    };
    let names = |count: usize| (0..count).map(|name| (format!("n{name}"), json!(1))).collect::<Value>();
    for (context, events, status, code) in [
        (json!({"x": vec!["y"; 100]}), 1_000, 200, Value::Null),
        // Each would do, all together would not.
        (
            json!({"x": ["y".repeat(9_000), "y".repeat(9_000), "y".repeat(9_000)]}),
            400,
            413,
            json!("EventTooLargeError"),
        ),
        // None would do.
        (json!({"x": vec!["y"; 20_000]}), 200, 413, json!("EventTooLargeError")),
        (names(600), 200, 400, json!("InvalidPropertyNameError")),
    ] {
        let decision = send("/v1/batch", &body(context, events));
        let (found, answer) = reply(&decision);
        assert_eq!((found, &answer["error_code"]), (status, &code), "{answer}");
        assert_eq!(decision.record.is_some(), status == 200);
    }
}
