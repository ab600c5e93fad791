//! Any bytes as a body of any form: the collector answers without a 5xx, and what it accepts the processor can store.
#![no_main]

use collector::{Caller, Head, Headers, Moment, Routed, route};
use libfuzzer_sys::fuzz_target;
use processor::Processor;
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::{KeyKind, KeyRecord, Timestamp};

/// The forms of a write, chosen by the first byte.
const TARGETS: [&str; 3] = ["/3.0/projects/p/events/c", "/3.0/projects/p/events", "/3.0/projects/p/batches"];

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let headers = Headers { content_encoding: (choice & 64 != 0).then_some("gzip"), ..Headers::default() };
    let head = Head { method: "POST", target: TARGETS[usize::from(*choice) % TARGETS.len()], headers };
    let limits = Limits::default();
    let Routed::Ask(asked) = route(&head, &limits) else { return };
    let access = Access::known(KeyRecord::new("p".parse().expect("an id"), KeyKind::Write));
    let moment = Moment { now: Timestamp::from_millis(1_577_836_800_000), random: [0; 10] };
    let decision = asked.decide(&access, body, &moment, &Caller { headers, ..Caller::default() }, &limits);
    assert!(decision.reply.status < 500, "{}", String::from_utf8_lossy(&decision.reply.body));
    if let Some(record) = decision.record {
        let processed = Processor::default().process(&record);
        assert!(processed.quarantined.is_empty(), "{:?}", processed.quarantined);
        let (_, tally) = processed.tally.expect("a record that was just written");
        assert_eq!(tally.stored + tally.duplicates, decision.counts.events_accepted);
    }
});
