//! Writes what goes over the wire: event ids, events and batches, in the form of `protocol::batch`.
//!
//! Written by hand because a JSON library would be most of the download: the only values here are numbers, hex digits
//! and JSON texts that the browser made. `protocol` itself is not linked for the same reason; the tests read what is
//! written here with `protocol`'s types. Knows no clock: times are arguments.

use std::rc::Rc;

use crate::outbox::{Drops, Event};

/// Bytes of a batch beside its events and the commas between them, at most: the names, the time and the drops.
pub const ENVELOPE_BYTES_MAX: usize = 256;

/// Makes one event from JSON texts and from random bytes.
///
/// `collection` is a JSON string with its quotes, `properties` a JSON object, `at_ms` the milliseconds since 1970.
/// The id begins with the time so that ids made close in time are close in order.
#[must_use]
pub fn event(at_ms: u64, random: [u8; 10], collection: &str, properties: &str) -> Event {
    let [_, _, a, b, c, d, e, f] = at_ms.to_be_bytes();
    let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
    let id = [a, b, c, d, e, f, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9];
    let mut text = String::with_capacity(110 + collection.len() + properties.len());
    text.push_str(r#"{"id":""#);
    for byte in id {
        push_hex_digit(&mut text, byte >> 4);
        push_hex_digit(&mut text, byte & 15);
    }
    text.push_str(r#"","collection":"#);
    text.push_str(collection);
    text.push_str(r#","timestamp":"#);
    push_number(&mut text, at_ms);
    text.push_str(r#","properties":"#);
    text.push_str(properties);
    text.push('}');
    Event { id, json: Rc::from(text) }
}

/// Makes the body of one request.
#[must_use]
pub fn batch(sent_at_ms: u64, drops: &Drops, events: &[Event]) -> String {
    let bytes: usize = events.iter().map(|event| event.json.len() + 1).sum();
    let mut text = String::with_capacity(ENVELOPE_BYTES_MAX + bytes);
    text.push_str(r#"{"sent_at":"#);
    push_number(&mut text, sent_at_ms);
    if drops.reportable() > 0 {
        text.push_str(r#","dropped":["#);
        let listed = [
            (r#"{"reason":"queue_full","count":"#, drops.queue_full),
            (r#"{"reason":"event_too_large","count":"#, drops.event_too_large),
            (r#"{"reason":"not_json","count":"#, drops.not_json),
        ];
        let mut comma = "";
        for (head, count) in listed {
            if count > 0 {
                text.push_str(comma);
                text.push_str(head);
                push_number(&mut text, u64::from(count));
                text.push('}');
                comma = ",";
            }
        }
        text.push(']');
    }
    text.push_str(r#","events":["#);
    let mut comma = "";
    for event in events {
        text.push_str(comma);
        text.push_str(&event.json);
        comma = ",";
    }
    text.push_str("]}");
    text
}

fn push_hex_digit(text: &mut String, nibble: u8) {
    text.push(char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }));
}

/// Appends `number` in decimal. The standard formatting would cost 2.6 KB of the download.
fn push_number(text: &mut String, number: u64) {
    let mut unit = 1;
    while number / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        // A remainder of 10 fits, and is a digit.
        text.push(char::from(b'0' + u8::try_from(number / unit % 10).unwrap_or(0)));
        unit /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::batch::Batch;
    use protocol::{EventId, Timestamp};

    use super::*;

    #[test]
    fn a_batch_without_drops_says_nothing_of_them() {
        let event = event(1_732_387_010_123, [0xab; 10], r#""clicks""#, r#"{"a":1}"#);
        assert_eq!(
            batch(1_732_387_011_000, &Drops::default(), &[event]),
            concat!(
                r#"{"sent_at":1732387011000,"events":[{"id":"01935a4ff64babababababababababab","collection":"clicks","#,
                r#""timestamp":1732387010123,"properties":{"a":1}}]}"#
            )
        );
    }

    #[test]
    fn drops_are_listed_by_reason() {
        let drops = Drops { queue_full: 12, not_json: 3, ..Drops::default() };
        let body = batch(1, &drops, &[]);
        let expected = r#"{"sent_at":1,"dropped":[{"reason":"queue_full","count":12},{"reason":"not_json","count":3}],"events":[]}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn the_envelope_never_outgrows_its_bound() {
        let all = u32::MAX;
        let drops = Drops { queue_full: all, event_too_large: all, not_json: all, refused: all };
        assert!(batch(u64::MAX, &drops, &[]).len() <= ENVELOPE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_the_protocol_reads(
            at in 0_u64..253_402_300_800_000, random: [u8; 10], names in prop::collection::vec(".*", 1..4), sent: u32,
        ) {
            let texts: Vec<String> = names.iter().map(|name| serde_json::to_string(name).unwrap()).collect();
            let events: Vec<Event> = texts.iter().map(|text| event(at, random, text, "{\"x\":[1,null]}")).collect();
            let body = batch(u64::from(sent), &Drops::default(), &events);
            let read: Batch<'_> = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(read.sent_at, i64::from(sent));
            prop_assert_eq!(read.events.len(), names.len());
            for (read, name) in read.events.iter().zip(&names) {
                let at = i64::try_from(at).unwrap();
                prop_assert_eq!(&read.collection, name);
                prop_assert_eq!(read.timestamp, at);
                prop_assert_eq!(read.properties.get(), "{\"x\":[1,null]}");
                let id = EventId::from_parts(Timestamp::from_millis(at), random);
                prop_assert_eq!(read.id.parse::<EventId>().unwrap(), id);
                prop_assert_eq!(*id.as_bytes(), events[0].id);
            }
        }

        #[test]
        fn numbers_read_back(number: u64) {
            let mut text = String::new();
            push_number(&mut text, number);
            prop_assert_eq!(text, number.to_string());
        }
    }
}
