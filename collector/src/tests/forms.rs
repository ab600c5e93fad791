//! Requests of many events: Keen's bulk form and our own.

use protocol::ErrorCode;
use protocol::batch::DropReason;
use serde_json::{Value, json};

use super::{EVENTS, check, error_code, record_value, send, text};
use crate::STEP_NAMES;

#[test]
fn a_bad_event_never_fails_the_others() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let very_deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(10_001));
    let names: Vec<_> = (0..513).map(|name| format!("\"n{name}\":1")).collect();
    let many = format!("{{{}}}", names.join(","));
    for (bad, name, code) in [
        (&*large, "InvalidPropertyValueError", "EventTooLargeError"),
        (&*deep, "InvalidPropertyValueError", "InvalidPropertyValueError"),
        (&*very_deep, "InvalidPropertyValueError", "InvalidPropertyValueError"),
        (&*long, "InvalidPropertyValueError", "InvalidPropertyValueError"),
        (&*many, "InvalidPropertyNameError", "InvalidPropertyNameError"),
        (r#"{"a":1,"a":2}"#, "InvalidPropertyNameError", "InvalidPropertyNameError"),
        (r#"{"a":{"$b":1}}"#, "InvalidPropertyNameError", "InvalidPropertyNameError"),
        (r#"{"a":"\u0000"}"#, "InvalidPropertyValueError", "InvalidPropertyValueError"),
        (r#"{"a":"\udc00"}"#, "InvalidPropertyValueError", "InvalidPropertyValueError"),
        (r#"{"a":1e400}"#, "InvalidPropertyValueError", "InvalidPropertyValueError"),
        (r#"{"keen":{"id":1}}"#, "InvalidKeenNamespaceProperty", "InvalidKeenNamespaceProperty"),
        ("7", "InvalidPropertyValueError", "InvalidEventError"),
        ("null", "InvalidPropertyValueError", "InvalidEventError"),
    ] {
        let shown = bad.get(..40).unwrap_or(bad);
        let bulk = send(EVENTS, format!(r#"{{"c":[{{"n":1}},{bad},{{"n":2}}],"d":[{{"n":3}}]}}"#));
        assert_eq!(bulk.reply.status, 200, "{shown}");
        let answer: Value = serde_json::from_slice(&bulk.reply.body).unwrap();
        assert_eq!(answer["c"][1]["error"]["name"], name, "{shown}");
        assert_eq!(answer["c"][1]["success"], false, "{shown}");
        let good = json!({"success": true});
        assert_eq!((&answer["c"][0], &answer["c"][2], &answer["d"][0]), (&good, &good, &good), "{shown}");
        assert_eq!(record_value(&bulk)["events"].as_array().unwrap().len(), 3, "{shown}");
        assert_eq!(bulk.counts.events_accepted, 3, "{shown}");
        assert_eq!(bulk.counts.refused.iter().map(|(code, _)| code.code()).collect::<Vec<_>>(), [code], "{shown}");
        assert!(bulk.counts.refused_by_step.iter().all(|(step, _)| STEP_NAMES.contains(step)), "{shown}");

        // Our form takes a megabyte in all, so there the large one is refused by the limit of the body.
        let event = |properties: &str| {
            format!(r#"{{"id":"{:032x}","collection":"c","timestamp":1,"properties":{properties}}}"#, properties.len())
        };
        let batch = send(
            "/3.0/projects/p/batches",
            format!(r#"{{"sent_at":1,"events":[{},{},{}]}}"#, event("{}"), event(bad), event("{}")),
        );
        if bad.len() > 1_000_000 {
            assert_eq!((batch.reply.status, &*error_code(&batch.reply)), (413, "EventTooLargeError"));
            continue;
        }
        let answer: Value = serde_json::from_slice(&batch.reply.body).unwrap();
        assert_eq!((batch.reply.status, &answer["accepted"]), (200, &json!(2)), "{shown}");
        assert_eq!(answer["refused"][0]["index"], 1, "{shown}");
        assert!(answer["refused"][1].is_null() && answer.get("error_code").is_none(), "{shown}");
    }
}

#[test]
fn bulk_answers_keep_names_and_order() {
    check(EVENTS, "{}", 200, "{}");
    check(EVENTS, r#"{"b":[],"a":[{}]}"#, 200, r#"{"b":[],"a":[{"success":true}]}"#);
    check(EVENTS, r#"{"s\u0069gned \"up\"":[{}]}"#, 200, r#"{"s\u0069gned \"up\"":[{"success":true}]}"#);
    let refused = |name: &str| {
        format!(
            r#"{{"{name}":[{{"success":false,"error":{{"name":"InvalidCollectionNameError","description":"a collection name is 1 to 255 ASCII characters without '$', not starting with '_'"}}}}],"c":[{{"success":true}}]}}"#
        )
    };
    for name in ["_hidden", "a$b", "", "\\ud800", "caf\\u00e9"] {
        check(EVENTS, &format!(r#"{{"{name}":[{{}}],"c":[{{}}]}}"#), 200, &refused(name));
    }
}

#[test]
fn a_bulk_body_of_another_shape_is_refused_whole() {
    let many = format!(r#"{{"c":[{}{{}}]}}"#, "{},".repeat(100));
    let empty_lists: Vec<_> = (0..101).map(|name| format!("\"c{name}\":[]")).collect();
    for (body, status) in [
        ("", 400),
        ("[]", 400),
        (r#"{"c":{}}"#, 400),
        (r#"{"c":[{}],"d":1}"#, 400),
        (r#"{"c":[{}"#, 400),
        (r#"{"c":[{}]} x"#, 400),
        (r#"{"c":[{}],"c":[{}]}"#, 400),
        (r#"{"c":[{}],"\u0063":[{}]}"#, 400),
        (&many, 413),
        (&format!("{{{}}}", empty_lists.join(",")), 413),
    ] {
        let decision = send(EVENTS, body);
        let code = if status == 400 { ErrorCode::InvalidBatch } else { ErrorCode::EventTooLarge };
        assert_eq!((decision.reply.status, &*error_code(&decision.reply)), (status, code.code()), "{body}");
        assert_eq!((decision.record, decision.counts.request_refused), (None, Some(code)), "{body}");
    }
}

#[test]
fn our_form_corrects_the_senders_clock() {
    let (id, other) = ("00000000000000000000000000000001", "00000000000000000000000000000002");
    // Sent at 10,000 by a clock that is 1,577,836,790 s behind ours; captured 4 s before that.
    let decision = send(
        "/3.0/projects/p/batches?api_key=x",
        format!(
            r#"{{"sent_at":10000,"extra":1,"events":[
                {{"id":"{id}","collection":"c","timestamp":6000,"properties":{{"a":1}},"later":[]}},
                {{"id":"{other}","collection":"c","timestamp":6000,"properties":{{"keen":{{"timestamp":"2019-01-01"}}}}}}]}}"#
        ),
    );
    assert_eq!(text(&decision.reply), r#"{"accepted":2}"#);
    let events = &record_value(&decision)["events"];
    assert_eq!((&events[0]["id"], &events[0]["timestamp"]), (&json!(id), &json!("2019-12-31T23:59:56.000Z")));
    assert_eq!(events[1]["timestamp"], "2019-01-01T00:00:00.000Z"); // what the page's author says wins
    assert!(!decision.record.unwrap().contains(&b'\n'), "a record is one line");
}

#[test]
fn our_form_names_each_event_that_is_refused() {
    let good = r#"{"id":"00000000000000000000000000000001","collection":"c","timestamp":1,"properties":{}}"#;
    for (bad, code) in [
        (good.replace("01\"", "0X\""), "InvalidEventError"),
        (good.replace("\"c\"", "\"\""), "InvalidCollectionNameError"),
        (good.replace("\"c\"", "\"\\ud800\""), "InvalidEventError"),
        (good.replace(":1,", ":\"now\","), "InvalidEventError"),
        (good.replace(":1,", ":1,\"timestamp\":2,"), "InvalidEventError"),
        (good.replace("{}", "[]"), "InvalidEventError"),
        (good.replace(",\"properties\":{}", ""), "InvalidEventError"),
        (good.replace("{}", &format!(r#"{{"a":["{}"]}}"#, "x\",\"".repeat(30_000))), "EventTooLargeError"),
        ("[]".to_owned(), "InvalidEventError"),
    ] {
        let decision = send("/3.0/projects/p/batches", format!(r#"{{"sent_at":1,"events":[{bad},{good}]}}"#));
        let answer: Value = serde_json::from_slice(&decision.reply.body).unwrap();
        assert_eq!((&answer["accepted"], &answer["refused"][0]["code"]), (&json!(1), &json!(code)), "{answer}");
    }
    for body in ["", "{}", r#"{"events":[]}"#, r#"{"sent_at":1}"#, r#"{"sent_at":1,"events":{}}"#, "[]"] {
        let decision = send("/3.0/projects/p/batches", body);
        assert_eq!((decision.reply.status, &*error_code(&decision.reply)), (400, "InvalidBatchError"), "{body}");
    }
    check("/3.0/projects/p/batches", r#"{"sent_at":1,"events":[]}"#, 200, r#"{"accepted":0}"#);
}

#[test]
fn what_a_sender_dropped_is_counted_by_reason() {
    let dropped =
        r#"[{"reason":"queue_full","count":2},{"reason":"new_reason","count":1},{"reason":"queue_full","count":3}]"#;
    let decision = send("/3.0/projects/p/batches", format!(r#"{{"sent_at":1,"dropped":{dropped},"events":[]}}"#));
    assert_eq!(text(&decision.reply), r#"{"accepted":0}"#);
    assert_eq!(decision.counts.dropped_by_sender, [(DropReason::QueueFull, 5), (DropReason::Other, 1)]);
}
