//! Any bytes as a packed body: an answer without a 5xx, never more than the limit; and what was packed comes out whole.
#![no_main]

use std::io::Write;

use collector::{Caller, Decision, Head, Headers, Moment, Routed, route};
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::{KeyKind, KeyRecord, Timestamp};

/// Small, so that reaching it takes little time.
const BODY_BYTES_MAX: usize = 300 * 1024;

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    for encoding in ["gzip", "zstd"] {
        assert!(send(rest, encoding).reply.status < 500);
    }
    // An event with white space of any length, around the limits of what is kept.
    let spaces = usize::from(*choice) * 1_300 + rest.len();
    let event = [&b"{"[..], &vec![b' '; spaces], b"\"a\":1}"].concat();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(u32::from(*choice) % 10));
    gzip.write_all(&event).expect("memory takes all");
    let gzip = gzip.finish().expect("memory takes all");
    let zstd = zstd::bulk::compress(&event, i32::from(*choice % 4)).expect("memory takes all");
    let mut stream = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    stream.write_all(&event).expect("memory takes all");
    let stream = stream.finish().expect("memory takes all");
    let expected = if event.len() > BODY_BYTES_MAX { 413 } else { 201 };
    for (packed, encoding) in [(gzip, "gzip"), (zstd, "zstd"), (stream, "zstd")] {
        let status = send(&packed, encoding).reply.status;
        // What can't be made smaller is too large before it is unpacked.
        assert_eq!(status, if packed.len() > BODY_BYTES_MAX { 413 } else { expected }, "{encoding} {}", event.len());
        // One byte of it changed: refused or accepted, but answered.
        let mut broken = packed;
        let at = rest.len() % broken.len();
        broken[at] ^= choice | 1;
        assert!(send(&broken, encoding).reply.status < 500);
    }
});

fn send(body: &[u8], encoding: &str) -> Decision {
    let headers = Headers { content_encoding: Some(encoding), ..Headers::default() };
    let limits = Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() };
    let head = Head { method: "POST", target: "/3.0/projects/p/events/c", headers };
    let Routed::Ask(asked) = route(&head, &limits) else { panic!("the encoding is known") };
    let access = Access::known(KeyRecord::new("p".parse().expect("an id"), KeyKind::Write));
    let moment = Moment { now: Timestamp::from_millis(1_577_836_800_000), random: [0; 10] };
    asked.decide(&access, body, &moment, &Caller { headers, ..Caller::default() }, &limits)
}
