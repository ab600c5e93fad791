//! What keys, settings and callers do to events on their way into the record.

use core::net::IpAddr;
use proptest::prelude::*;
use std::sync::Arc;

use protocol::access::{Access, Grant, KeyOptions, WriteOptions};
use protocol::record::Location;
use protocol::settings::{AddressPolicy, Privacy, ProjectSettings, UserAgentPolicy};
use protocol::{ErrorCode, KeyKind, KeyRecord, limits};
use serde_json::{Value, json};

use super::{EVENTS, NOW, error_code, project, text};
use crate::{Caller, Decision, Head, Headers, Moment, Routed, route};

const ADDRESS: &str = "203.0.113.9";
const AGENT: &str = "Mozilla/5.0 (Linux; Android 13; Pixel 7) Chrome/116.0.5845.172";

/// What may differ from request to request.
struct Case {
    options: WriteOptions,
    settings: ProjectSettings,
    headers: Headers<'static>,
}

impl Default for Case {
    fn default() -> Self {
        let headers = Headers { user_agent: Some(AGENT), ..Headers::default() };
        Self { options: WriteOptions::default(), settings: ProjectSettings::default(), headers }
    }
}

fn locate(address: IpAddr) -> Option<Location> {
    (address.to_string() == ADDRESS).then(|| Location {
        city: Some("Berlin".into()),
        country_code: Some("DE".into()),
        coordinates: Some([13.4, 52.5]),
        ..Location::default()
    })
}

impl Case {
    fn autofill(fill: Value) -> Self {
        let Value::Object(fill) = fill else { panic!("{fill}") };
        Self { options: WriteOptions { autofill: Some(fill), ..WriteOptions::default() }, ..Self::default() }
    }

    fn privacy(privacy: Privacy) -> Self {
        Self { settings: ProjectSettings { privacy, ..ProjectSettings::default() }, ..Self::default() }
    }

    fn ask(&self, method: &str, target: &str, body: &[u8]) -> Decision {
        let writes = Some(self.options.clone());
        let options = KeyOptions { writes, ..KeyOptions::default() };
        let key = Arc::new(KeyRecord { options, ..KeyRecord::new(project(), KeyKind::Write) });
        let access = Access::Known(Grant { key, settings: Arc::new(self.settings.clone()) });
        let limits = limits::Limits::default();
        let head = Head { method, target, headers: self.headers };
        let Routed::Ask(asked) = route(&head, &limits) else { panic!("{target}") };
        let caller = Caller {
            headers: self.headers,
            address: ADDRESS.parse().ok(),
            locate: Some(&locate),
            salt: Some(&[1; 32]),
        };
        let decision = asked.decide(&access, body, &Moment { now: NOW, random: [0; 10] }, &caller, &limits);
        if let Err(reply) = asked.admit(&access) {
            assert_eq!((&decision.reply, &decision.record), (&reply, &None), "what is not admitted is not decided on");
        }
        decision
    }

    fn post(&self, event: &str) -> Decision {
        self.ask("POST", &format!("{EVENTS}/c"), event.as_bytes())
    }

    /// The properties that are kept of an event.
    #[track_caller]
    fn kept(&self, event: &str) -> Value {
        let decision = self.post(event);
        assert_eq!(decision.reply.status, 201, "{event}: {}", text(&decision.reply));
        let record = decision.record.unwrap();
        assert!(!record.contains(&b'\n'), "a record is one line");
        protocol::record::Record::parse(&record).unwrap();
        serde_json::from_slice::<Value>(&record).unwrap()["events"][0]["properties"].take()
    }
}

#[test]
fn what_a_key_fills_in_wins_over_what_is_sent() {
    let case = Case::autofill(json!({"tenant": {"id": 7}, "plan": "pro"}));
    for (event, kept) in [
        ("{}", json!({"tenant": {"id": 7}, "plan": "pro"})),
        (r#"{"a":1,"plan":"free"}"#, json!({"a": 1, "tenant": {"id": 7}, "plan": "pro"})),
        (r#"{"tenant":{"id":8,"b":2}}"#, json!({"tenant": {"id": 7, "b": 2}, "plan": "pro"})),
        (r#"{"t\u0065nant":{"\u0069d":8}}"#, json!({"tenant": {"id": 7}, "plan": "pro"})),
        ("{\"tenant\":\n[8]}", json!({"tenant": {"id": 7}, "plan": "pro"})),
        (r#"{"plan":1,"plan":2}"#, json!({"tenant": {"id": 7}, "plan": "pro"})),
    ] {
        assert_eq!(case.kept(event), kept, "{event}");
    }
    // What it fills in holds to the rules like everything else, and what is broken stays refused.
    for (fill, event, code) in [
        (json!({"a.b": 1}), "{}", "InvalidPropertyNameError"),
        (json!({"keen": {"id": "x"}}), "{}", "InvalidKeenNamespaceProperty"),
        (json!({"a": 1}), r#"{"\ud800":1}"#, "InvalidPropertyValueError"),
        (json!({"a": 1}), r#"{"b":1,"b":2}"#, "InvalidPropertyNameError"),
        (json!({"a": 1}), "[]", "InvalidEventError"),
    ] {
        assert_eq!(error_code(&Case::autofill(fill.clone()).post(event).reply), code, "{fill} {event}");
    }
    let timed = Case::autofill(json!({"keen": {"timestamp": "2019-05-05"}})).post("{}");
    assert_eq!(super::record_value(&timed)["events"][0]["timestamp"], "2019-05-05T00:00:00.000Z");
}

#[test]
fn what_a_key_may_fill_in_is_small_and_good_in_every_event() {
    let names = |count: usize| (0..count).map(|name| (format!("n{name}"), json!(1))).collect::<Value>();
    let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
    for (fill, code) in [
        (json!({"tenant": {"id": 7}, "ip": "${keen.ip}", "list": [1]}), None),
        (json!({"keen": {"timestamp": "2019-05-05", "addons": []}}), None),
        (json!({"a.b": 1}), Some(ErrorCode::InvalidPropertyName)),
        (json!({"a": {"$b": 1}}), Some(ErrorCode::InvalidPropertyName)),
        (json!({"a": "x\u{0}"}), Some(ErrorCode::InvalidPropertyValue)),
        (json!({"keen": {"id": "x"}}), Some(ErrorCode::InvalidKeenNamespaceProperty)),
        (json!({"keen": {"other": 1}}), Some(ErrorCode::InvalidKeenNamespaceProperty)),
        (json!({"keen": {"timestamp": "never"}}), Some(ErrorCode::InvalidPropertyValue)),
        (json!({"keen": 1}), Some(ErrorCode::NamespaceType)),
        (names(256), None),
        (names(257), Some(ErrorCode::InvalidPropertyName)),
        (nested(8), None),
        (nested(9), Some(ErrorCode::InvalidPropertyValue)),
        (json!({"a": ["x".repeat(8_000), "x".repeat(8_000)]}), None),
        (json!({"a": ["x".repeat(8_000), "x".repeat(9_000)]}), Some(ErrorCode::EventTooLarge)),
    ] {
        let checked = crate::check_autofill(fill.as_object().unwrap());
        assert_eq!(
            checked.err().map(|refusal| refusal.code),
            code,
            "{}",
            fill.to_string().get(..40).unwrap_or("short")
        );
    }
}

#[test]
fn an_event_of_too_many_names_is_refused_before_it_is_filled_in() {
    let case = Case::autofill(json!({"a": {"b": 1}}));
    let many = |count: usize| (0..count).map(|name| format!("\"n{name}:\":\":::\"")).collect::<Vec<_>>().join(",");
    for (names, by_step) in [(511, "json"), (512, "autofill")] {
        // 511 names and `a` are 512, and with `b` one more.
        let decision = case.post(&format!(r#"{{"a":{{{}}}}}"#, many(names)));
        assert_eq!(error_code(&decision.reply), "InvalidPropertyNameError");
        assert_eq!(decision.counts.refused_by_step, [(by_step, 1)]);
    }
    assert_eq!(case.post(&format!(r#"{{"a":{{{}}}}}"#, many(510))).reply.status, 201);
}

#[test]
fn a_few_bytes_do_not_become_many() {
    let case = Case::autofill(json!({"a": ["x".repeat(5_000), "x".repeat(5_000)]}));
    // Whether the events are good or not, it is the request that is too large: nothing is wrong with an event of it.
    for event in ["{}", r#"{"keen":{"id":1}}"#] {
        let body = format!(r#"{{"c":[{}{event}]}}"#, format!("{event},").repeat(9_000));
        let decision = case.ask("POST", EVENTS, body.as_bytes());
        assert_eq!((decision.reply.status, error_code(&decision.reply).as_str()), (413, "EventTooLargeError"));
        assert_eq!((decision.record, decision.counts.events()), (None, 0));
        assert_eq!(decision.counts.request_refused, Some(ErrorCode::EventTooLarge));
    }
    let few = format!(r#"{{"c":[{}{{}}]}}"#, "{},".repeat(900));
    assert_eq!(case.ask("POST", EVENTS, few.as_bytes()).counts.events_accepted, 901);

    let agents = format!(r#"{{"a":[{}1]}}"#, r#""${keen.user_agent}","#.repeat(40_000));
    let mut case = Case::privacy(Privacy { user_agent: UserAgentPolicy::Full, ..Privacy::default() });
    case.headers.user_agent = Some(Box::leak("x".repeat(4_000).into_boxed_str()));
    assert_eq!(error_code(&case.post(&agents).reply), "EventTooLargeError");
    assert_eq!(case.kept(r#"{"a":"${keen.user_agent}"}"#)["a"].as_str().map(str::len), Some(1_000));
}

#[test]
fn a_key_writes_to_its_collections_only() {
    let options = WriteOptions { collections: Some(vec!["c".into(), "a b".into()]), ..WriteOptions::default() };
    let case = Case { options, ..Case::default() };
    for (collection, status) in [("c", 201), ("a%20b", 201), ("d", 403), ("C", 403), ("%24", 403)] {
        let reply = case.ask("POST", &format!("{EVENTS}/{collection}"), b"{}").reply;
        assert_eq!(reply.status, status, "{collection}");
        assert!(status == 201 || error_code(&reply) == "KeyNotPermittedError", "{collection}");
        let pixel = case.ask("GET", &format!("{EVENTS}/{collection}?data=e30"), b"").reply;
        assert_eq!(pixel.status, if status == 201 { 200 } else { 403 }, "{collection}");
    }
    let bulk = case.ask("POST", EVENTS, br#"{"c":[{}],"d":[{},{}]}"#);
    let answer: Value = serde_json::from_slice(&bulk.reply.body).unwrap();
    assert_eq!(answer["c"][0]["success"], true);
    // A name for which Keen's mobile clients stop to send it again.
    assert_eq!(answer["d"][1]["error"]["name"], "InvalidCollectionNameError");
    assert_eq!(bulk.counts.refused, [(ErrorCode::KeyNotPermitted, 2)]);
    let event = |collection: &str| {
        format!(r#"{{"id":"{:032x}","collection":"{collection}","timestamp":1,"properties":{{}}}}"#, 1)
    };
    let batch = format!(r#"{{"sent_at":1,"events":[{},{}]}}"#, event("d"), event("c"));
    let reply = case.ask("POST", "/3.0/projects/p/batches", batch.as_bytes()).reply;
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&answer["accepted"], &answer["refused"][0]["code"]), (&json!(1), &json!("KeyNotPermittedError")));
}

#[test]
fn a_key_is_used_from_its_origins_only() {
    let options = WriteOptions { origins: Some(vec!["https://*.shop.example".into()]), ..WriteOptions::default() };
    for (origin, referer, status) in [
        (Some("https://www.shop.example"), None, 200),
        (None, Some("https://www.shop.example/page?x"), 200),
        (Some("https://evil.example"), Some("https://www.shop.example/"), 403),
        (Some("null"), None, 403),
        (None, None, 403),
    ] {
        let headers = Headers { origin, referer, ..Headers::default() };
        let case = Case { options: options.clone(), headers, ..Case::default() };
        let pixel = case.ask("GET", &format!("{EVENTS}/c?data=e30"), b"").reply;
        assert_eq!(pixel.status, status, "{origin:?} {referer:?}");
        // Without a look at the body.
        let bulk = case.ask("POST", EVENTS, b"not json").reply;
        let code = if status == 200 { "InvalidBatchError" } else { "OriginNotAllowedError" };
        assert_eq!(error_code(&bulk), code, "{origin:?} {referer:?}");
    }
}

#[test]
fn a_redirect_goes_where_the_project_allows_it() {
    let settings = ProjectSettings { redirect_hosts: vec!["go.example".into()], ..ProjectSettings::default() };
    let case = Case { settings, ..Case::default() };
    for (host, status) in [("go.example", 302), ("evil.example", 400)] {
        let decision = case.ask("GET", &format!("{EVENTS}/c?data=e30&redirect=https%3A%2F%2F{host}%2F"), b"");
        assert_eq!((decision.reply.status, decision.record.is_some()), (status, status == 302), "{host}");
    }
}

#[test]
fn placeholders_become_what_the_project_lets_be_seen() {
    let keep = Privacy { address: AddressPolicy::Keep, user_agent: UserAgentPolicy::Full, ..Privacy::default() };
    let event = r#"{"ip":"${keen.ip}","deep":{"agents":["${keen.user_agent}"]},"text":"${keen.ip}."}"#;
    let reduced = "Mozilla/5.0 (Linux; Android 13; K) Chrome/116.0.0.0";
    for (privacy, gpc, ip, agent) in [
        (Privacy::default(), None, json!(null), json!(reduced)),
        (keep, None, json!(ADDRESS), json!(AGENT)),
        (keep, Some("1"), json!(null), json!(null)),
        (Privacy { honour_gpc: false, ..keep }, Some("1"), json!(ADDRESS), json!(AGENT)),
    ] {
        let mut case = Case::privacy(privacy);
        case.headers.gpc = gpc;
        let kept = json!({"ip": ip, "deep": {"agents": [agent]}, "text": "${keen.ip}."});
        assert_eq!(case.kept(event), kept, "{privacy:?} {gpc:?}");
    }
}

#[test]
fn a_place_is_found_though_the_address_is_not_kept() {
    let geo = |input: &str, output: &str, more: &str| {
        format!(r#"{{"name":"keen:ip_to_geo","input":{{"ip":"{input}"{more}}},"output":"{output}"}}"#)
    };
    let other = r#"{"name":"keen:ua_parser","input":{"ua_string":"ua"},"output":"tech"}"#;
    let berlin = json!({"city": "Berlin", "country_code": "DE", "coordinates": [13.4, 52.5]});
    for (properties, addons, kept) in [
        // As keen-tracking sends it.
        (
            r#""ip_address":"${keen.ip}","geo":{}"#,
            geo("ip_address", "geo", r#","remove_ip_property":true"#),
            json!({"geo": berlin, "keen": {}}),
        ),
        (
            r#""ip":"${keen.ip}","geo":{"city":"?","x":1}"#,
            format!("{},{other}", geo("ip", "geo", "")),
            json!({
                "ip": null,
                "geo": {"city": "Berlin", "x": 1, "country_code": "DE", "coordinates": [13.4, 52.5]},
                "keen": {"addons": [serde_json::from_str::<Value>(other).unwrap()]},
            }),
        ),
        (
            r#""a":{"ip":"203.0.113.9","b":1}"#,
            geo("a.ip", "x.y", r#","remove_ip_property":true"#),
            json!({"a": {"b": 1}, "x": {"y": berlin}, "keen": {}}),
        ),
        (r#""ip":"${keen.ip}""#, geo("ip", "keen.location", ""), json!({"ip": null, "keen": {"location": berlin}})),
        // An input that is missing or malformed leaves the output as it is.
        (r#""geo":{}"#, geo("ip", "geo", ""), json!({"geo": {}, "keen": {}})),
        (r#""ip":"nonsense""#, geo("ip", "geo", ""), json!({"ip": "nonsense", "keen": {}})),
        (r#""ip":7"#, geo("ip", "geo", ""), json!({"ip": 7, "keen": {}})),
        (r#""ip":"198.51.100.1""#, geo("ip", "geo", ""), json!({"ip": "198.51.100.1", "keen": {}})),
        (r#""a":1"#, r#"{"name":"keen:ip_to_geo"}"#.to_owned(), json!({"a": 1, "keen": {}})),
        // Of what nobody knows only its place stays, for the processor to count.
        (r#""a":1"#, r#"{"name":"keen:domain"},7"#.to_owned(), json!({"a": 1, "keen": {"addons": [null, null]}})),
    ] {
        let event = format!(r#"{{{properties},"keen":{{"addons":[{addons}]}}}}"#);
        assert_eq!(Case::default().kept(&event), kept, "{event}");
    }
    let mut anonymous = Case::default();
    anonymous.headers.gpc = Some("1");
    for ip in ["${keen.ip}", ADDRESS] {
        let event = format!(r#"{{"ip":"{ip}","keen":{{"addons":[{}]}}}}"#, geo("ip", "geo", ""));
        assert_eq!(anonymous.kept(&event)["geo"], Value::Null, "{ip}");
    }
}

#[test]
fn an_add_on_that_could_never_work_is_refused() {
    let with = |output: &str| {
        format!(
            r#"{{"s":"text","n":null,"keen":{{"addons":[{{"name":"keen:ua_parser","input":{{}},"output":{output}}}]}}}}"#
        )
    };
    for (event, code) in [
        (with(r#""tech""#), None),
        (with(r#""n.deep""#), None),
        (with("7"), None),
        (with(r#""keen.location""#), None),
        (with(r#""keen.id""#), Some("InvalidKeenNamespaceProperty")),
        (with(r#""keen""#), Some("InvalidKeenNamespaceProperty")),
        (with(r#""s""#), Some("NamespaceTypeError")),
        (with(r#""s.deep""#), Some("NamespaceTypeError")),
        (with(r#""a..b""#), Some("InvalidPropertyNameError")),
        (with(&format!("\"{}a\"", "a.".repeat(16))), Some("InvalidPropertyNameError")),
        (r#"{"keen":{"addons":{}}}"#.to_owned(), Some("InvalidPropertyValueError")),
        (format!(r#"{{"keen":{{"addons":[{}1]}}}}"#, "1,".repeat(32)), Some("InvalidPropertyValueError")),
    ] {
        let reply = Case::default().post(&event).reply;
        assert_eq!(code.map(str::to_owned), (reply.status != 201).then(|| error_code(&reply)), "{event}");
    }
}

#[test]
fn an_add_on_touches_nothing_that_the_key_fills_in() {
    let fill = json!({"tenant": {"id": 7}, "ip": "${keen.ip}", "keen": {"location": {"city": "X"}}});
    let case = Case::autofill(fill.clone());
    let addon = |name: &str, input: Value, output: &str| json!([{"name": name, "input": input, "output": output}]);
    let url = |output: &str| addon("keen:url_parser", json!({"url": "u"}), output);
    let remove = |path: &str| addon("keen:ip_to_geo", json!({"ip": path, "remove_ip_property": true}), "geo");
    for (addons, is_refused) in [
        (url("tenant"), true),
        (url("tenant.id"), true),
        (url("tenant.id.deep"), true),
        (url("ip"), true),
        (url("keen.location"), true),
        (url("tenant.other"), false),
        (url("ten"), false),
        (addon("keen:ip_to_geo", json!({"ip": "other"}), "tenant"), true),
        (addon("keen:ip_to_geo", json!({"ip": "ip"}), "geo"), false),
        (remove("ip"), true),
        (remove("tenant"), true),
        (remove("tenant.id"), true),
        (remove("other"), false),
    ] {
        let event = json!({"u": "https://x.test/", "other": "203.0.113.9", "keen": {"addons": addons}});
        let reply = case.post(&event.to_string()).reply;
        let code = (reply.status != 201).then(|| error_code(&reply));
        assert_eq!(code.as_deref(), is_refused.then_some("InvalidPropertyValueError"), "{addons}");
    }
    // Those that the key itself asks for are nobody else's.
    let own = json!({"geo": {}, "ip": "${keen.ip}", "keen": {"addons": remove("ip")}});
    let kept = Case::autofill(own).kept(r#"{"keen":{"addons":[]}}"#);
    assert_eq!((&kept["geo"]["city"], &kept["ip"]), (&json!("Berlin"), &Value::Null));
    // Nothing but an address goes as one.
    for (value, is_gone) in [
        (json!("${keen.ip}"), true),
        (json!("203.0.113.9"), true),
        (json!("2001:db8::1"), true),
        (json!("text"), false),
        (json!(7), false),
        (json!({"deep": "203.0.113.9"}), false),
    ] {
        let event = json!({"other": value, "keen": {"addons": remove("other")}}).to_string();
        assert_eq!(Case::default().kept(&event).get("other").is_none(), is_gone, "{event}");
    }
}

#[test]
fn of_add_ons_nothing_is_kept_but_what_they_are() {
    let full = json!({"name": "keen:url_parser", "input": {"url": "page.url"}, "output": "info"});
    for (addon, kept) in [
        (full.clone(), full.clone()),
        (
            json!({"name": "keen:url_parser", "mail": "jane@mail.example", "output": "info",
                "input": {"url": "page.url", "note": "jane@mail.example", "ua_string": "a"}}),
            full.clone(),
        ),
        (json!({"name": "jane@mail.example", "output": "a"}), Value::Null),
        (json!("jane@mail.example"), Value::Null),
        (json!(["keen:url_parser", "jane@mail.example"]), Value::Null),
        (json!({"name": "keen:url_parser", "input": {}}), Value::Null),
        (
            json!({"name": "keen:ua_parser", "input": {"ua_string": "jane@mail.example"}, "output": "a"}),
            json!({"name": "keen:ua_parser", "input": {}, "output": "a"}),
        ),
        (
            json!({"name": "keen:ua_parser", "input": {"ua_string": {"b": "jane@mail.example"}}, "output": "a"}),
            json!({"name": "keen:ua_parser", "input": {}, "output": "a"}),
        ),
    ] {
        let event = json!({"keen": {"addons": [addon]}}).to_string();
        assert_eq!(Case::default().kept(&event)["keen"]["addons"], json!([kept]), "{event}");
    }
}

#[test]
fn a_record_says_what_is_known_of_its_caller() {
    let mut case = Case::default();
    case.headers.origin = Some("https://shop.example");
    let context = |case: &Case| super::record_value(&case.post("{}"))["context"].clone();
    let known = context(&case);
    assert_eq!(known["visitor"].as_str().map(str::len), Some(32), "{known}");
    assert_eq!(known.as_object().map(serde_json::Map::len), Some(1), "{known}");
    case.headers.user_agent = Some("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
    assert_eq!(context(&case)["bot"], true);
    case.headers.gpc = Some("1");
    assert_eq!(context(&case), Value::Null);
}

#[test]
fn every_refusal_of_a_script_is_a_script() {
    for (target, status) in [
        (format!("{EVENTS}/c?jsonp=f"), 200),
        ("/3.0/nothing?callback=f".to_owned(), 200),
        ("/3.0/nothing?jsonp=f(1)".to_owned(), 404),
        ("/3.0/nothing".to_owned(), 404),
    ] {
        let head = Head { method: "GET", target: &target, headers: Headers::default() };
        let Routed::Reply(reply) = route(&head, &limits::Limits::default()) else { panic!("{target}") };
        assert_eq!(reply.status, status, "{target}");
        assert_eq!(text(&reply).starts_with("f({\"error_code\":"), status == 200, "{target}");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("*"));
    }
}

#[test]
fn values_that_tell_who_somebody_is_are_scrubbed_and_names_and_times_are_not() {
    let event = r#"{"mail":"jane@mail.example","a":[{"b":"j\u0061ne@mail.example"}],"quote":"\"","n":1.50,
        "keen":{"uniqueness_token":"jane@mail.example","timestamp":"2019-05-05","location":{"city":"jane@mail.example"}}}"#;
    let decision = Case::default().post(event);
    let record = super::record_value(&decision);
    let scrubbed = json!({
        "mail": "[email]", "a": [{"b": "[email]"}], "quote": "\"", "n": 1.5,
        "keen": {"uniqueness_token": "[email]", "timestamp": "2019-05-05", "location": {"city": "[email]"}},
    });
    assert_eq!(record["events"][0]["properties"], scrubbed);
    // The id is that of the token as it was sent, with or without scrubbing.
    let plain = Case::privacy(Privacy { scrub: false, ..Privacy::default() });
    let as_sent = super::record_value(&plain.post(event));
    assert_eq!(as_sent["events"][0]["properties"]["mail"], "jane@mail.example");
    assert_eq!(as_sent["events"][0]["id"], record["events"][0]["id"]);
    // What a key fills in is a value like any other.
    assert_eq!(Case::autofill(json!({"owner": "jane@mail.example"})).kept("{}"), json!({"owner": "[email]"}));
}

/// Objects with everything in them that is changed on the way, at any depth.
fn properties() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!("${keen.ip}")),
        Just(json!("${keen.user_agent}")),
        Just(json!("jane@mail.example")),
        "[a-z\"\\\\\n ü$@.{}]{0,8}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    });
    prop::collection::btree_map("[a-c]{1,2}", tree, 0..5).prop_map(|map| map.into_iter().collect())
}

/// What replacing in a tree gives.
fn replaced(value: Value) -> Value {
    match value {
        Value::String(text) if text == "${keen.ip}" => json!(ADDRESS),
        Value::String(text) if text == "${keen.user_agent}" => json!(AGENT),
        Value::String(text) => Value::from(crate::scrub::scrub(&text).unwrap_or(text)),
        Value::Array(list) => list.into_iter().map(replaced).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, replaced(value))).collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn changing_bytes_is_changing_the_tree(event in properties(), is_pretty in any::<bool>()) {
        let privacy = Privacy { address: AddressPolicy::Keep, user_agent: UserAgentPolicy::Full, ..Privacy::default() };
        let text = if is_pretty { serde_json::to_string_pretty(&event) } else { serde_json::to_string(&event) }.unwrap();
        prop_assert_eq!(Case::privacy(privacy).kept(&text), replaced(event));
    }

    #[test]
    fn nothing_that_is_filled_in_or_added_breaks_a_record(
        event in properties(), fill in properties(), output in "[a-c]{1,2}(\\.[a-c]{1,2}){0,2}", ip in "[a-c]{1,2}"
    ) {
        let mut case = Case::autofill(fill);
        case.headers.origin = Some("https://shop.example");
        let mut event = event;
        event["keen"] = json!({"addons": [
            {"name": "keen:ip_to_geo", "input": {"ip": ip, "remove_ip_property": true}, "output": output},
            {"name": "keen:url_parser", "input": {"url": "u"}, "output": "b"},
        ]});
        let decision = case.post(&event.to_string());
        if decision.reply.status == 201 {
            let record = decision.record.unwrap();
            let parsed = protocol::record::Record::parse(&record).unwrap();
            let kept: Value = serde_json::from_str(parsed.events[0].properties.get()).unwrap();
            prop_assert!(!kept.to_string().contains("${keen."), "{}", kept);
        } else {
            let code = error_code(&decision.reply);
            prop_assert!(matches!(code.as_str(), "NamespaceTypeError" | "InvalidPropertyValueError"), "{}", code);
        }
    }
}
