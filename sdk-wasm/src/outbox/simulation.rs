//! The outbox's promise as properties: whatever a page and a collector do, every event is answered for or counted as
//! dropped, in order and within the limits.
//!
//! A simulated page and a simulated collector in virtual time. Looks at the outbox from outside, but for its limits.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{FAILED, STORED, event, numbers};
use super::*;

/// One thing that happens to the simulated page.
#[derive(Debug, Clone, Copy)]
enum Step {
    Capture { bytes: usize, times: usize },
    Pass(u64),
    Tell(Input),
    Collector(Mood),
    Beacons(bool),
}

/// What the simulated collector does with a request.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Stores,
    RefusesOne,
    StoresButTheAnswerIsLost,
    Fails(Option<u64>),
    Rejects,
    Hangs,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mood = prop_oneof![
        3 => Just(Mood::Stores),
        1 => Just(Mood::RefusesOne),
        1 => Just(Mood::StoresButTheAnswerIsLost),
        2 => prop::option::of(0_u64..60_000).prop_map(Mood::Fails),
        1 => Just(Mood::Rejects),
        1 => Just(Mood::Hangs),
    ];
    let input = prop_oneof![Just(Input::Hidden), Just(Input::Shown), Just(Input::Online), Just(Input::Flush)];
    let step = prop_oneof![
        5 => (1_usize..2_000, 1_usize..80).prop_map(|(bytes, times)| Step::Capture { bytes, times }),
        1 => (1_usize..70_000, 1_usize..8).prop_map(|(bytes, times)| Step::Capture { bytes, times }),
        4 => (0_u64..10_000).prop_map(Step::Pass),
        3 => input.prop_map(Step::Tell),
        3 => mood.prop_map(Step::Collector),
        1 => any::<bool>().prop_map(Step::Beacons),
    ];
    prop::collection::vec(step, 1..60)
}

/// A page and a collector, and what can be known from outside about every event.
struct World {
    outbox: Outbox,
    now: Millis,
    mood: Mood,
    beacons_work: bool,
    captured: usize,
    dropped: usize,
    /// In the order in which the outbox was told about them.
    answered: Vec<usize>,
    seen: BTreeSet<usize>,
    flying: Option<Batch>,
}

impl World {
    fn new() -> Self {
        Self {
            outbox: Outbox::new(9),
            now: Millis(0),
            mood: Mood::Stores,
            beacons_work: true,
            captured: 0,
            dropped: 0,
            answered: Vec::new(),
            seen: BTreeSet::new(),
            flying: None,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Capture { bytes, times } => {
                for _ in 0..times {
                    if self.outbox.capture(self.now, event(self.captured, bytes)).is_err() {
                        self.dropped += 1;
                        self.answered.push(self.captured);
                    }
                    self.captured += 1;
                    self.run();
                }
            }
            Step::Pass(ms) => {
                let end = self.now.plus(ms);
                while let Some(next) = self.run().filter(|next| *next <= end) {
                    self.now = next;
                }
                self.now = end;
            }
            Step::Tell(input) => self.outbox.handle(self.now, input),
            Step::Collector(mood) => self.mood = mood,
            Step::Beacons(work) => self.beacons_work = work,
        }
        self.run();
    }

    /// Does what the outbox says until it says to wait, and returns until when.
    fn run(&mut self) -> Option<Millis> {
        for _ in 0..5_000 {
            match self.outbox.poll(self.now) {
                Output::Send(batch) => self.send(batch),
                Output::Wait(until) => {
                    assert!(until > self.now, "waits for the past");
                    return Some(until);
                }
                Output::Idle => {
                    assert_eq!(self.outbox.waiting(), 0, "idle while events wait");
                    return None;
                }
            }
            assert!(self.outbox.waiting() <= QUEUE_EVENTS_MAX);
            assert!(self.outbox.queue_bytes <= QUEUE_BYTES_MAX);
        }
        panic!("sends without end");
    }

    fn send(&mut self, batch: Batch) {
        let numbers = numbers(&batch);
        assert!(numbers.is_sorted(), "order of capture: {numbers:?}");
        assert!(numbers.len() <= BATCH_EVENTS_MAX || batch.how == How::Beacon);
        let bytes: usize = batch.events.iter().map(|event| event.json.len() + 1).sum::<usize>() + ENVELOPE_BYTES_MAX;
        if batch.how == How::Beacon {
            let flying =
                self.flying.as_ref().filter(|flying| flying.how == How::Keepalive && self.outbox.flight.is_some());
            let flying_bytes = flying.map_or(0, |it| it.events.iter().map(|event| event.json.len() + 1).sum());
            assert!(bytes + flying_bytes <= KEEPALIVE_BYTES_MAX);
            if self.beacons_work {
                self.seen.extend(&numbers);
            } else {
                self.outbox.handle(self.now, Input::BeaconRefused(batch.number));
            }
            return;
        }
        assert!(batch.how == How::Fetch || bytes <= KEEPALIVE_BYTES_MAX);
        assert!(bytes <= BACKLOG_BATCH_BYTES_MAX);
        self.flying = Some(batch.clone());
        let answer = match self.mood {
            Mood::Hangs => return,
            Mood::Stores => STORED,
            Mood::RefusesOne => Answer::Stored { refused: 1 },
            Mood::Fails(retry_after_ms) => Answer::Failed { retry_after_ms },
            Mood::StoresButTheAnswerIsLost => FAILED,
            Mood::Rejects => Answer::Rejected,
        };
        let gone = match answer {
            Answer::Stored { .. } => numbers.len(),
            Answer::Rejected => usize::from(numbers.len() == 1),
            Answer::Failed { .. } => 0,
        };
        if matches!(self.mood, Mood::Stores | Mood::RefusesOne | Mood::StoresButTheAnswerIsLost) {
            self.seen.extend(&numbers);
        }
        self.answered.extend(&numbers[..gone]);
        self.outbox.handle(self.now, Input::Answered(batch.number, answer));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_answered_for_or_counted_as_dropped_in_order_and_within_the_limits(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        let drops = usize::try_from(world.outbox.drops().total() - world.outbox.drops().refused).unwrap();
        prop_assert_eq!(drops, world.dropped);
        prop_assert_eq!(world.answered.len() + world.outbox.waiting(), world.captured, "nothing is lost on the way");

        // The page lives and the collector is well: all that waits is stored.
        world.step(Step::Tell(Input::Shown));
        world.step(Step::Collector(Mood::Stores));
        let mut rounds = 0;
        while let Some(next) = world.run() {
            world.now = next;
            rounds += 1;
            prop_assert!(rounds < 2_000, "never done");
        }
        let mut answered = world.answered.clone();
        answered.sort_unstable();
        prop_assert_eq!(answered, (0..world.captured).collect::<Vec<_>>(), "each once");
        prop_assert!(world.outbox.drops().refused as usize + world.seen.len() + world.dropped >= world.captured);
    }

    #[test]
    fn what_is_answered_for_keeps_the_order_of_capture(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(match step {
                Step::Capture { bytes, times } => Step::Capture { bytes: bytes.min(1_000), times: times.min(10) },
                step => step,
            });
            // Dropped events are noted at capture; without drops the order is that of capture.
            if world.dropped == 0 {
                prop_assert!(world.answered.is_sorted());
            }
        }
    }
}
