//! What holds for every request, whatever is in it.

use proptest::prelude::*;
use protocol::record::Record;
use serde_json::{Value, json};

use super::{EVENTS, run, send, write_access};
use crate::Headers;

/// Texts that are events, nearly events, or nothing.
fn event_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,6}".prop_map(|name| format!(r#"{{"{name}":1}}"#)),
        1 => "[a-z$._]{0,3}".prop_map(|name| format!(r#"{{"{name}":"\ud800"}}"#)),
        1 => Just(r#"{"keen":{"id":1}}"#.to_owned()),
        1 => Just("[1, {\n} ]".to_owned()),
        1 => any::<f64>().prop_map(|number| json!({ "n": number }).to_string()),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_answer_5xx(body in prop::collection::vec(any::<u8>(), 0..200), form in 0_usize..3) {
        let target = [EVENTS, "/3.0/projects/p/events/c", "/3.0/projects/p/batches"][form];
        prop_assert!(send(target, body).reply.status < 500);
    }

    #[test]
    fn nothing_like_json_makes_it_panic_or_answer_5xx(body in "[\\[\\]{}:,\"\\\\a1.eu \\n-]{0,80}", form in 0_usize..3) {
        let target = [EVENTS, "/3.0/projects/p/events/c", "/3.0/projects/p/batches"][form];
        prop_assert!(send(target, body).reply.status < 500);
    }

    #[test]
    fn no_target_makes_it_panic(target in "\\PC{0,60}", method in "GET|POST|OPTIONS") {
        let _ = run(&method, &target, Headers::default(), &write_access(), b"{}");
        let _ = run(&method, &format!("{EVENTS}/c?{target}"), Headers::default(), &write_access(), b"{}");
    }

    #[test]
    fn every_event_gets_one_result_in_order_and_accepted_ones_are_in_the_record(
        collections in prop::collection::vec(prop::collection::vec(event_text(), 0..6), 0..4)
    ) {
        let lists: Vec<_> =
            collections.iter().enumerate().map(|(index, events)| format!("\"c{index}\":[{}]", events.join(","))).collect();
        let decision = send(EVENTS, format!("{{{}}}", lists.join(",")));
        prop_assert_eq!(decision.reply.status, 200);
        let answer: Value = serde_json::from_slice(&decision.reply.body).unwrap();
        let bytes = decision.record.unwrap_or_default();
        let stored = if bytes.is_empty() { Vec::new() } else { Record::parse(&bytes).unwrap().events };
        let mut stored = stored.iter();
        for (index, events) in collections.iter().enumerate() {
            let name = format!("c{index}");
            let results = answer[&name].as_array().unwrap();
            prop_assert_eq!(results.len(), events.len());
            for (result, event) in results.iter().zip(events) {
                // An event alone gets the same answer as among others.
                let alone = send(&format!("{EVENTS}/{name}"), event).reply.status == 201;
                prop_assert_eq!(&result["success"], alone);
                if alone {
                    let kept = stored.next().unwrap();
                    prop_assert_eq!(kept.collection.as_ref(), &name);
                    prop_assert_eq!(kept.properties.get(), event);
                }
            }
        }
        prop_assert!(stored.next().is_none());
        let refused: u64 = decision.counts.refused.iter().map(|(_, count)| count).sum();
        let received: usize = collections.iter().map(Vec::len).sum();
        prop_assert_eq!(decision.counts.events_accepted + refused, received as u64);
    }
}
