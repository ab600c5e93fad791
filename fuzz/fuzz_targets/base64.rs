//! Any text as `data` of a pixel: an answer without a 5xx; and any text as an event's value, written in each dialect of
//! base64, comes out as it went in.
#![no_main]

use collector::{Caller, Decision, Head, Headers, Moment, Routed, route};
use libfuzzer_sys::fuzz_target;
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::record::Record;
use protocol::{KeyKind, KeyRecord, Timestamp};

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fuzz_target!(|input: &str| {
    if let Some(decision) = send(input) {
        assert!(decision.reply.status < 500);
    }
    // Numbers instead of characters, so that the event is good whatever the text is.
    let codes: Vec<String> = input.chars().take(1_000).map(|c| u32::from(c).to_string()).collect();
    let event = format!("{{\"v\":[{}],\"t\":\"{}\"}}", codes.join(","), "~\u{7f}\u{ff}?>".repeat(codes.len() % 4));
    for (alphabet, is_padded) in [(STANDARD, true), (STANDARD, false), (URL_SAFE, true), (URL_SAFE, false)] {
        let data = encode(event.as_bytes(), alphabet, is_padded);
        for data in [data.clone(), data.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")] {
            let Some(decision) = send(&data) else { return };
            let record = decision.record.expect("a good event is accepted");
            let record = Record::parse(&record).expect("a record");
            assert_eq!(record.events[0].properties.get(), event);
        }
    }
});

/// Writes by GET; none when the target is refused before its data is read.
fn send(data: &str) -> Option<Decision> {
    let limits = Limits::default();
    let target = format!("/3.0/projects/p/events/c?data={data}");
    let Routed::Ask(asked) = route(&Head { method: "GET", target: &target, headers: Headers::default() }, &limits)
    else {
        return None;
    };
    let access = Access::known(KeyRecord::new("p".parse().expect("an id"), KeyKind::Write));
    let moment = Moment { now: Timestamp::from_millis(1_577_836_800_000), random: [0; 10] };
    Some(asked.decide(&access, b"", &moment, &Caller::default(), &limits))
}

fn encode(bytes: &[u8], alphabet: &[u8; 64], is_padded: bool) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            match (at <= three.len(), is_padded) {
                (true, _) => text.push(char::from(alphabet[bits >> (18 - 6 * at) & 63])),
                (false, true) => text.push('='),
                (false, false) => {}
            }
        }
    }
    text
}
