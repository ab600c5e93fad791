//! Whole events with add-ons: what is asked, and what the event is afterwards.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::flatten::flatten_event;

/// The event after its add-ons have run, and how many were ignored.
fn enriched(event: &Value) -> (Value, u64) {
    let flat = flatten_event(&event.to_string()).unwrap();
    let mut cells = Cells::new(flat.cells);
    let times = Times {
        timestamp: "2020-01-02T03:04:05.678Z".parse().unwrap(),
        created_at: "2021-01-01T00:00:00.000Z".parse().unwrap(),
    };
    let ignored = flat.addons.map_or(0, |addons| run(&mut cells, &addons, &times));
    let mut tree = json!({});
    for (path, cell) in cells.into_inner() {
        let mut at = &mut tree;
        for name in path.as_str().split('.') {
            at = at.as_object_mut().unwrap().entry(name).or_insert_with(|| json!({}));
        }
        assert_eq!(*at, json!({}), "{path} twice");
        *at = match cell {
            Cell::Null => Value::Null,
            Cell::Bool(value) => json!(value),
            Cell::Int(value) => json!(value),
            Cell::Float(value) => json!(value),
            Cell::Text(value) => json!(value),
            Cell::List(value) => serde_json::from_str(&value).unwrap(),
        };
    }
    (tree, ignored)
}

fn asked(mut event: Value, addons: Value) -> Value {
    event["keen"] = json!({ "addons": addons });
    event
}

#[track_caller]
fn check(event: Value, addons: Value, expected: Value) {
    let (found, ignored) = enriched(&asked(event, addons.clone()));
    assert_eq!((found, ignored), (expected, 0), "{addons}");
}

/// What one add-on makes of one input.
#[track_caller]
fn check_one(name: &str, inputs: &[(&str, &str)], expected: Value) {
    let input: serde_json::Map<_, _> = inputs.iter().map(|(name, _)| ((*name).to_owned(), json!(name))).collect();
    let event: serde_json::Map<_, _> = inputs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut event = Value::Object(event);
    event["out"] = json!({});
    let (found, _) = enriched(&asked(event, json!([{ "name": name, "input": input, "output": "out" }])));
    assert_eq!(found["out"], expected, "{inputs:?}");
}

#[test]
fn an_address_is_taken_apart() {
    let url = |url, expected| check_one("keen:url_parser", &[("url", url)], expected);
    url(
        "HTTPS://user:pw@Shop.Example:8443/a/b%20c?x=1&y.z=2&$q=3&x=4&empty&%00=1&=5#top",
        json!({ "protocol": "https", "domain": "shop.example", "path": "/a/b%20c", "anchor": "top",
            "query_string": { "x": "4", "y_z": "2", "_q": "3", "empty": "" } }),
    );
    url("http://a.example", json!({ "protocol": "http", "domain": "a.example", "path": "/" }));
    url("http://[::1]:80/x?", json!({ "protocol": "http", "domain": "[::1]", "path": "/x" }));
    url(
        "https://a.example/?q=r%C3%A4der+neu",
        json!({ "protocol": "https", "domain": "a.example", "path": "/", "query_string": { "q": "räder neu" } }),
    );
    for none in
        ["", "/a/b", "a.example/x", "http://", "http:///x", "1://a", "http://a b/", "mailto:a@b.example", "://x"]
    {
        url(none, json!({}));
    }
}

#[test]
fn a_referrer_has_a_medium_a_source_and_a_term() {
    let page = "https://www.shop.example/x";
    for (referrer, expected) in [
        (
            "https://www.google.com/search?q=red+shoes&hl=en",
            json!({ "medium": "SEARCH", "source": "Google", "term": "red shoes" }),
        ),
        ("https://www.google.co.uk/", json!({ "medium": "SEARCH", "source": "Google" })),
        ("https://duckduckgo.com/?q=a", json!({ "medium": "SEARCH", "source": "DuckDuckGo", "term": "a" })),
        ("https://mail.google.com/mail/u/0", json!({ "medium": "EMAIL", "source": "Gmail" })),
        ("https://l.facebook.com/l.php?u=x", json!({ "medium": "SOCIAL", "source": "Facebook" })),
        ("https://t.co/abc", json!({ "medium": "SOCIAL", "source": "Twitter" })),
        ("https://blog.shop.example/y", json!({ "medium": "INTERNAL" })),
        ("http://shop.example/", json!({ "medium": "INTERNAL" })),
        ("https://other.example/", json!({ "medium": "UNKNOWN" })),
        ("https://notgoogle.com/?q=a", json!({ "medium": "UNKNOWN" })),
        ("https://google.evil.example/?q=a", json!({ "medium": "UNKNOWN" })),
        ("https://myt.co/", json!({ "medium": "UNKNOWN" })),
        ("", json!({})),
        ("about:blank", json!({})),
    ] {
        check_one("keen:referrer_parser", &[("referrer_url", referrer), ("page_url", page)], expected);
    }
    check_one(
        "keen:referrer_parser",
        &[("referrer_url", "https://t.co/")],
        json!({ "medium": "SOCIAL", "source": "Twitter" }),
    );
}

#[test]
fn a_time_is_taken_apart_in_its_own_offset() {
    let part = |time: &str, names: &[&str], expected: Value| {
        let event = asked(
            json!({ "t": time }),
            json!([{ "name": "keen:date_time_parser", "input": { "date_time": "t" }, "output": "out" }]),
        );
        let (found, _) = enriched(&event);
        let parts: Vec<_> = names.iter().map(|name| found["out"][name].clone()).collect();
        assert_eq!(json!(parts), expected, "{time}");
    };
    let all = [
        "year",
        "month",
        "day_of_month",
        "day_of_week",
        "day_of_week_string",
        "week",
        "hour",
        "minute",
        "second",
        "millisecond",
        "timezone_offset",
    ];
    part("2020-01-02T03:04:05.678-07:30", &all, json!([2020, 1, 2, 4, "Thursday", 1, 3, 4, 5, 678, "-07:30"]));
    part("2024-12-30T23:59:59+02:00", &all, json!([2024, 12, 30, 1, "Monday", 1, 23, 59, 59, 0, "+02:00"]));
    part("2023-01-01", &all, json!([2023, 1, 1, 7, "Sunday", 52, 0, 0, 0, 0, "+00:00"]));
    for (time, week) in [
        ("2020-12-31", 53),
        ("2021-01-03", 53),
        ("2021-01-04", 1),
        ("2024-02-29", 9),
        ("2024-03-01", 9),
        ("2026-12-31", 53),
        ("1969-12-31", 1),
    ] {
        part(time, &["week"], json!([week]));
    }
    for none in ["", "today", "2020-13-01", "1577836800"] {
        part(none, &["year"], json!([null]));
    }
}

/// Agents, and what is known of browser, system and device.
const AGENTS: &[(&str, &str, &str, &str)] = &[
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.71 Safari/537.36",
        "Chrome 120.0.6099",
        "Windows 10",
        "Other, desktop",
    ),
    (
        "Mozilla/5.0 (Windows NT 6.3; Win64; x64; rv:109.0) Gecko/20100101 Firefox/115.0",
        "Firefox 115.0",
        "Windows 8.1",
        "Other, desktop",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15",
        "Safari 17.2",
        "Mac OS X 10.15.7",
        "Mac, desktop",
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
        "Mobile Safari 17.2",
        "iOS 17.2.1",
        "iPhone, mobile phone",
    ),
    (
        "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1",
        "Chrome Mobile iOS 120.0.6099",
        "iOS 16.6",
        "iPad, tablet",
    ),
    (
        "Mozilla/5.0 (Linux; Android 13; SM-S918B Build/TP1A) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36",
        "Samsung Internet 23.0",
        "Android 13",
        "Samsung SM-S918B, mobile phone",
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
        "Chrome Mobile 120.0.0",
        "Android 10",
        "Generic Smartphone, mobile phone",
    ),
    (
        "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Chrome 120.0.0",
        "Android 13",
        "Samsung SM-X906C, tablet",
    ),
    ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "IE 11.0", "Windows 7", "Other, desktop"),
    (
        "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0.2210.91",
        "Edge 120.0.2210",
        "Windows 10",
        "Other, desktop",
    ),
    (
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Chrome 120.0.0",
        "Chrome OS 14541.0.0",
        "Other, desktop",
    ),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "", "", ""),
    ("curl/8.5.0", "curl 8.5.0", "", "Other"),
    ("nonsense", "", "", ""),
];

#[test]
fn an_agent_tells_browser_system_and_device() {
    for (agent, browser, os, device) in AGENTS {
        let event = asked(
            json!({ "ua": agent }),
            json!([{ "name": "keen:ua_parser", "input": { "ua_string": "ua" }, "output": "out" }]),
        );
        let (found, _) = enriched(&event);
        let joined = |object: &str, names: &[&str], gap: &str| {
            names.iter().filter_map(|name| found["out"][object][name].as_str()).collect::<Vec<_>>().join(gap)
        };
        let named = |object: &str| {
            let version = joined(object, &["major", "minor", "patch", "patch_minor"], ".");
            format!("{} {version}", joined(object, &["family"], "")).trim().to_owned()
        };
        assert_eq!(
            (named("browser"), named("os"), joined("device", &["family", "type"], ", ")),
            ((*browser).to_owned(), (*os).to_owned(), (*device).to_owned()),
            "{agent}"
        );
    }
}

#[test]
fn outputs_merge_and_never_harm_what_stands_there() {
    let url = json!([{ "name": "keen:url_parser", "input": { "url": "u" }, "output": "o" }]);
    let parts = json!({ "protocol": "http", "domain": "a.example", "path": "/" });
    let u = "http://a.example/";
    check(json!({ "u": u }), url.clone(), json!({ "u": u, "o": parts }));
    check(json!({ "u": u, "o": null }), url.clone(), json!({ "u": u, "o": parts }));
    check(
        json!({ "u": u, "o": { "kept": 1, "path": "old" } }),
        url.clone(),
        json!({ "u": u, "o": { "kept": 1, "protocol": "http", "domain": "a.example", "path": "/" } }),
    );
    check(json!({ "u": u, "o": "text" }), url.clone(), json!({ "u": u, "o": "text" }));
    check(
        json!({ "u": u, "o": { "path": { "deep": 1 } } }),
        url.clone(),
        json!({ "u": u, "o": { "path": { "deep": 1 }, "protocol": "http", "domain": "a.example" } }),
    );
    check(json!({ "u": 7, "o": {} }), url.clone(), json!({ "u": 7, "o": {} }));
    check(json!({ "o": {} }), url, json!({ "o": {} }));
}

#[test]
fn later_add_ons_read_what_earlier_ones_found_and_the_events_own_time() {
    check(
        json!({ "u": "http://a.example/?next=https://t.co/x" }),
        json!([
            { "name": "keen:url_parser", "input": { "url": "u" }, "output": "one" },
            { "name": "keen:referrer_parser", "input": { "referrer_url": "one.query_string.next" }, "output": "two" },
        ]),
        json!({ "u": "http://a.example/?next=https://t.co/x",
            "one": { "protocol": "http", "domain": "a.example", "path": "/", "query_string": { "next": "https://t.co/x" } },
            "two": { "medium": "SOCIAL", "source": "Twitter" } }),
    );
    let (found, _) = enriched(
        &json!({ "keen": { "addons": [{ "name": "keen:date_time_parser", "input": { "date_time": "keen.timestamp" }, "output": "t" }] } }),
    );
    assert_eq!((&found["t"]["year"], &found["t"]["millisecond"]), (&json!(2020), &json!(678)));
}

#[test]
fn what_nobody_knows_is_counted_and_the_event_kept() {
    for (addons, ignored) in [
        (json!([]), 0),
        (json!([{ "name": "keen:ip_to_geo", "input": { "ip": "x" }, "output": "g" }]), 0),
        (json!([{ "name": "keen:cookie", "input": {}, "output": "g" }]), 1),
        (json!([{ "name": "keen:url_parser", "input": { "url": "u" }, "output": "keen.bot" }]), 1),
        (json!([{ "name": "keen:url_parser", "input": { "url": "u" } }]), 1),
        (json!([1, "x", null, {}]), 4),
        (json!([{ "name": "keen:url_parser", "input": { "url": 1 }, "output": "g" }]), 0),
        (
            json!(
                (0..40).map(|_| json!({ "name": "keen:url_parser", "input": {}, "output": "g" })).collect::<Vec<_>>()
            ),
            8,
        ),
    ] {
        let (found, count) = enriched(&asked(json!({ "a": 1 }), addons.clone()));
        assert_eq!((found, count), (json!({ "a": 1 }), ignored), "{addons}");
    }
}

#[test]
fn an_output_can_not_break_the_rules_for_names() {
    for output in ["", ".", "a..b", "$a", "a.", &vec!["a"; 40].join("."), &"a".repeat(300)] {
        let (found, _) = enriched(&asked(
            json!({ "u": "http://a.example/" }),
            json!([{ "name": "keen:url_parser", "input": { "url": "u" }, "output": output }]),
        ));
        assert_eq!(found, json!({ "u": "http://a.example/" }), "{output}");
    }
    let many: String = (0..500).map(|number| format!("p{number}=1&")).collect();
    let (found, _) = enriched(&asked(
        json!({ "u": format!("http://a.example/?{many}") }),
        json!([{ "name": "keen:url_parser", "input": { "url": "u" }, "output": "o" }]),
    ));
    assert_eq!(found["o"]["query_string"].as_object().unwrap().len(), 64);
}

proptest! {
    #[test]
    fn no_input_makes_an_add_on_fail(one in "\\PC{0,60}", two in "(https?://)?[a-z.:@/?#&=%0-9\\[\\]$]{0,40}", output in "[a-c.]{0,6}") {
        for name in ["keen:ua_parser", "keen:url_parser", "keen:referrer_parser", "keen:date_time_parser"] {
            let input = json!({ "ua_string": "a", "url": "b", "referrer_url": "b", "page_url": "a", "date_time": "a" });
            let addons = json!([{ "name": name, "input": input, "output": output }, { "name": name, "input": input, "output": "a" }]);
            // Also checks that no path is there twice, and none below a value.
            enriched(&asked(json!({ "a": one, "b": two, "c": {} }), addons));
        }
    }
}
