//! What the outbox does, rule by rule.
//!
//! Separate for its length; the promise as a whole is tested in `simulation`.

use std::rc::Rc;

use super::*;
use crate::retry::RETRY_AFTER_MS_MAX;

/// The `n`-th event, with a wire form of `bytes` bytes.
pub(super) fn event(n: usize, bytes: usize) -> Event {
    let id = u128::try_from(n).unwrap().to_be_bytes();
    Event { id, json: Rc::from("x".repeat(bytes)) }
}

/// An outbox that took `count` events of `bytes` bytes at time 0.
fn holding(count: usize, bytes: usize) -> Outbox {
    let mut outbox = Outbox::new(42);
    for n in 0..count {
        outbox.capture(Millis(0), event(n, bytes)).unwrap();
    }
    outbox
}

#[track_caller]
fn sent(output: Output) -> Batch {
    let Output::Send(batch) = output else { panic!("expected a batch, got {output:?}") };
    assert!(!batch.events.is_empty());
    batch
}

pub(super) fn numbers(batch: &Batch) -> Vec<usize> {
    batch.events.iter().map(|event| usize::try_from(u128::from_be_bytes(event.id)).unwrap()).collect()
}

pub(super) const STORED: Answer = Answer::Stored { refused: 0 };
pub(super) const FAILED: Answer = Answer::Failed { retry_after_ms: None };

#[test]
fn events_leave_by_count_bytes_or_age() {
    for (count, bytes, at, how) in [
        (0, 0, 1_000_000, None),
        (1, 100, 0, None),
        (1, 100, LINGER_MS - 1, None),
        (1, 100, LINGER_MS, Some((How::Keepalive, 1))),
        (BATCH_EVENTS_READY - 1, 100, 0, None),
        (BATCH_EVENTS_READY, 100, 0, Some((How::Keepalive, BATCH_EVENTS_READY))),
        (10, 3_100, 0, Some((How::Fetch, 10))), // more than a keepalive request may hold
        (1, 50_000, 0, Some((How::Fetch, 1))),  // alone too large for one
        (1_000, 100, 0, Some((How::Fetch, 500))), // a backlog
        (20, 50_000, 0, Some((How::Fetch, 5))), // a backlog of large events: 256 KiB
    ] {
        let what = (count, bytes, at);
        match (holding(count, bytes).poll(Millis(at)), how) {
            (Output::Send(batch), Some((how, events))) => {
                assert_eq!((batch.how, numbers(&batch)), (how, (0..events).collect()), "{what:?}");
            }
            (Output::Wait(until), None) => assert_eq!(until, Millis(LINGER_MS), "{what:?}"),
            (Output::Idle, None) => assert_eq!(count, 0, "{what:?}"),
            (output, _) => panic!("{what:?}: {output:?}"),
        }
    }
}

#[test]
fn a_flush_sends_at_once_and_knows_when_all_is_answered() {
    let mut outbox = holding(2, 100);
    outbox.handle(Millis(1), Input::Flush);
    let mark = outbox.taken();
    let batch = sent(outbox.poll(Millis(1)));
    outbox.capture(Millis(2), event(2, 100)).unwrap();
    assert_eq!(outbox.flushed(mark), Flushed::Pending);
    outbox.handle(Millis(3), Input::Answered(batch.number, STORED));
    assert_eq!(outbox.flushed(mark), Flushed::All);
    assert_eq!(outbox.poll(Millis(3)), Output::Wait(Millis(2 + LINGER_MS)), "a later event is not flushed");
}

#[test]
fn one_request_is_in_flight_at_a_time_and_its_events_stay_until_it_is_answered() {
    let mut outbox = holding(60, 100);
    let first = sent(outbox.poll(Millis(0)));
    outbox.capture(Millis(0), event(60, 100)).unwrap();
    assert_eq!(outbox.poll(Millis(50_000)), Output::Wait(Millis(ANSWER_MS_MAX)));
    assert_eq!(outbox.waiting(), 61);
    outbox.handle(Millis(50_000), Input::Answered(first.number, Answer::Stored { refused: 2 }));
    assert_eq!((outbox.waiting(), outbox.drops().refused), (1, 2));
    assert_eq!(numbers(&sent(outbox.poll(Millis(50_000)))), [60]);
}

#[test]
fn a_failed_batch_goes_again_in_the_same_order_when_its_wait_is_over() {
    for (retry_after_ms, least) in [(None, 1_000), (Some(30_000), 30_000), (Some(u64::MAX), RETRY_AFTER_MS_MAX)] {
        let mut outbox = holding(3, 100);
        let first = sent(outbox.poll(Millis(1_000)));
        let answer = Answer::Failed { retry_after_ms };
        outbox.handle(Millis(1_000), Input::Answered(first.number, answer));
        assert_eq!(outbox.flushed(3), Flushed::Later);
        let Output::Wait(until) = outbox.poll(Millis(1_000)) else { panic!("sent at once after {answer:?}") };
        assert!(until >= Millis(1_000 + least), "{until:?} after {answer:?}");
        outbox.handle(Millis(1_100), Input::Flush);
        assert_eq!(outbox.poll(Millis(1_100)), Output::Wait(until), "a flush does not shorten the wait");
        let second = sent(outbox.poll(until));
        assert_eq!(second.events, first.events);
        assert_ne!(second.number, first.number);
    }
}

#[test]
fn a_request_without_answer_is_given_up_and_its_late_answer_ignored() {
    let mut outbox = holding(1, 100);
    let first = sent(outbox.poll(Millis(1_000)));
    let given_up = Millis(1_000 + ANSWER_MS_MAX);
    let Output::Wait(until) = outbox.poll(given_up) else { panic!("sent at once") };
    outbox.handle(given_up, Input::Answered(first.number, STORED));
    assert_eq!(outbox.waiting(), 1);
    assert_eq!(sent(outbox.poll(until)).events, first.events);
}

#[test]
fn a_hidden_page_sends_at_once_by_beacon() {
    let mut outbox = holding(3, 100);
    outbox.handle(Millis(5), Input::Hidden);
    let batch = sent(outbox.poll(Millis(5)));
    assert_eq!((batch.how, numbers(&batch)), (How::Beacon, vec![0, 1, 2]));
    outbox.handle(Millis(6), Input::Hidden); // pagehide follows visibilitychange
    assert_eq!(outbox.poll(Millis(6)), Output::Wait(Millis(6 + LEAVING_MS)), "the same events don't go twice");
    outbox.capture(Millis(7), event(3, 100)).unwrap();
    let batch = sent(outbox.poll(Millis(7)));
    assert_eq!((batch.how, numbers(&batch)), (How::Beacon, vec![3]), "captured by the page's own pagehide listener");
}

#[test]
fn a_beacon_is_no_delivery() {
    for (input, at) in [(Some(Input::Shown), 100), (None, LEAVING_MS)] {
        let mut outbox = holding(3, 100);
        outbox.handle(Millis(0), Input::Hidden);
        let beacon = sent(outbox.poll(Millis(0)));
        assert_eq!(outbox.waiting(), 3);
        if let Some(input) = input {
            outbox.handle(Millis(at), input);
        }
        let again = sent(outbox.poll(Millis(at.max(LINGER_MS))));
        assert_eq!((again.how, &again.events), (How::Keepalive, &beacon.events), "{input:?}");
        outbox.handle(Millis(at), Input::Answered(again.number, STORED));
        assert_eq!(outbox.poll(Millis(at.max(LINGER_MS))), Output::Idle);
    }
}

#[test]
fn beacons_leave_out_only_what_already_outlives_the_page() {
    for (bytes, how, beaconed) in [(100, How::Keepalive, vec![50]), (1_000, How::Fetch, (0..51).collect())] {
        let mut outbox = holding(50, bytes);
        assert_eq!(sent(outbox.poll(Millis(0))).how, how);
        outbox.capture(Millis(0), event(50, 100)).unwrap();
        outbox.handle(Millis(0), Input::Hidden);
        assert_eq!(numbers(&sent(outbox.poll(Millis(0)))), beaconed, "after {how:?}");
    }
}

#[test]
fn beacons_pass_over_what_does_not_fit_the_browsers_budget() {
    let mut outbox = holding(2, 40_000);
    outbox.capture(Millis(0), event(2, 100)).unwrap();
    outbox.handle(Millis(0), Input::Hidden);
    assert_eq!(numbers(&sent(outbox.poll(Millis(0)))), [0, 2]);
    assert_eq!(outbox.poll(Millis(0)), Output::Wait(Millis(LEAVING_MS)));
}

#[test]
fn a_refused_beacon_leaves_its_events_to_a_keepalive_request() {
    let mut outbox = holding(3, 100);
    outbox.handle(Millis(0), Input::Hidden);
    let beacon = sent(outbox.poll(Millis(0)));
    outbox.handle(Millis(0), Input::BeaconRefused(beacon.number));
    let batch = sent(outbox.poll(Millis(0)));
    assert_eq!((batch.how, batch.events), (How::Keepalive, beacon.events));
}

#[test]
fn after_retry_after_nothing_is_sent_not_even_by_beacon() {
    let mut outbox = holding(1, 100);
    let batch = sent(outbox.poll(Millis(1_000)));
    let answer = Answer::Failed { retry_after_ms: Some(20_000) };
    outbox.handle(Millis(1_000), Input::Answered(batch.number, answer));
    outbox.handle(Millis(2_000), Input::Hidden);
    outbox.handle(Millis(2_000), Input::Online);
    let Output::Wait(until) = outbox.poll(Millis(2_000)) else { panic!("sent") };
    assert!(until >= Millis(21_000));
}

#[test]
fn after_a_failure_that_named_no_time_the_page_that_ends_tries_once_more() {
    let mut outbox = holding(1, 100);
    let batch = sent(outbox.poll(Millis(1_000)));
    outbox.handle(Millis(1_000), Input::Answered(batch.number, FAILED));
    outbox.handle(Millis(1_001), Input::Hidden);
    assert_eq!(sent(outbox.poll(Millis(1_001))).how, How::Beacon);
}

#[test]
fn the_network_coming_back_ends_a_guessed_wait() {
    let mut outbox = holding(1, 100);
    let batch = sent(outbox.poll(Millis(1_000)));
    outbox.handle(Millis(1_000), Input::Answered(batch.number, FAILED));
    outbox.handle(Millis(1_500), Input::Online);
    assert_eq!(sent(outbox.poll(Millis(1_500))).events, batch.events);
}

#[test]
fn an_event_beyond_a_limit_is_dropped_and_counted() {
    for (held, bytes, last, dropped) in [
        (QUEUE_EVENTS_MAX - 1, 10, 10, None),
        (QUEUE_EVENTS_MAX, 10, 10, Some(DropReason::QueueFull)),
        (15, EVENT_BYTES_MAX, EVENT_BYTES_MAX, None),
        (16, EVENT_BYTES_MAX, 1, Some(DropReason::QueueFull)),
        (0, 0, EVENT_BYTES_MAX + 1, Some(DropReason::EventTooLarge)),
    ] {
        let mut outbox = holding(held, bytes);
        let what = (held, bytes, last);
        assert_eq!(outbox.capture(Millis(0), event(held, last)).err(), dropped, "{what:?}");
        assert_eq!(outbox.drops().total(), u32::from(dropped.is_some()), "{what:?}");
    }
}

#[test]
fn drops_are_reported_until_a_batch_with_them_is_stored() {
    let mut outbox = holding(1, 100);
    outbox.count_drops(DropReason::NotJson, 3);
    let first = sent(outbox.poll(Millis(1_000)));
    outbox.count_drops(DropReason::NotJson, 1);
    outbox.handle(Millis(1_000), Input::Answered(first.number, FAILED));
    let second = sent(outbox.poll(Millis(3_000)));
    outbox.handle(Millis(3_000), Input::Answered(second.number, STORED));
    outbox.capture(Millis(3_000), event(1, 100)).unwrap();
    let third = sent(outbox.poll(Millis(4_000)));
    assert_eq!([first, second, third].map(|batch| batch.drops.not_json), [3, 4, 0]);
    assert_eq!(outbox.drops().not_json, 4);
}

#[test]
fn a_body_that_is_rejected_is_halved_until_the_event_at_fault_is_alone() {
    let (mut outbox, mut now, mut sizes) = (holding(50, 100), Millis(0), Vec::new());
    while outbox.drops().refused == 0 {
        match outbox.poll(now) {
            Output::Send(batch) => {
                sizes.push(batch.events.len());
                let answer = if numbers(&batch).contains(&7) { Answer::Rejected } else { STORED };
                outbox.handle(now, Input::Answered(batch.number, answer));
            }
            Output::Wait(until) => now = until,
            Output::Idle => panic!("idle with {} waiting", outbox.waiting()),
        }
    }
    assert!(sizes.len() < 20, "{sizes:?}");
    outbox.handle(now, Input::Flush);
    let Output::Wait(until) = outbox.poll(now) else { panic!("a rejected body is retried without a wait") };
    assert!(!numbers(&sent(outbox.poll(until))).contains(&7));
}

#[test]
fn the_limits_are_within_the_collectors() {
    let limits = protocol::limits::Limits::default();
    assert_eq!(EVENT_BYTES_MAX, limits.batch_event_bytes_max);
    const { assert!(BACKLOG_BATCH_BYTES_MAX > EVENT_BYTES_MAX + ENVELOPE_BYTES_MAX) };
    assert!(BACKLOG_BATCH_BYTES_MAX <= limits.batch_bytes_max);
    assert!(BATCH_EVENTS_MAX <= limits.events_max);
}
