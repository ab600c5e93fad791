//! Any bytes as a batch, a bulk or a call of Segment's: an answer without a 5xx in which every event is accounted for, and a
//! record that the processor takes whole.
#![no_main]

use collector::{Caller, Head, Headers, Moment, Routed, route};
use libfuzzer_sys::fuzz_target;
use processor::Processor;
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::{KeyKind, KeyRecord, Timestamp};

/// The forms that hold many events, chosen by the first byte.
const TARGETS: [&str; 4] = ["/3.0/projects/p/batches", "/3.0/projects/p/events", "/v1/batch", "/v1/track"];

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    // Any key will do: what it opens is said below.
    let headers = Headers { authorization: Some(KEY), ..Headers::default() };
    let head = Head { method: "POST", target: TARGETS[usize::from(*choice) % TARGETS.len()], headers };
    let limits = Limits { events_max: 50, ..Limits::default() };
    let Routed::Ask(asked) = route(&head, &limits) else { return };
    let access = Access::known(KeyRecord::new("p".parse().expect("an id"), KeyKind::Write));
    let moment = Moment { now: Timestamp::from_millis(1_577_836_800_000), random: [0; 10] };
    let decision = asked.decide(&access, body, &moment, &Caller { headers, ..Caller::default() }, &limits);
    assert!(decision.reply.status < 500, "{}", String::from_utf8_lossy(&decision.reply.body));
    let accepted = decision.counts.events_accepted;
    assert_eq!(decision.record.is_some(), accepted > 0);
    let by_step: u64 = decision.counts.refused_by_step.iter().map(|(_, events)| events).sum();
    assert_eq!(by_step, decision.counts.refused.iter().map(|(_, events)| *events).sum::<u64>());
    let Some(record) = decision.record else { return };
    assert!(!record.contains(&b'\n'), "a record is one line");
    let processed = Processor::default().process(&record);
    assert!(processed.quarantined.is_empty(), "{:?}", processed.quarantined);
    let (_, tally) = processed.tally.expect("a record that was just written");
    assert_eq!(tally.stored + tally.duplicates, accepted);
});

/// In the form of a key's text; which key it is does not matter here.
const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";
