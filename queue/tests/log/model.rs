//! The promise, against chance: appends, crashes, broken and full disks in any order, compared with a list.
//!
//! The model knows every record that was ever handed over, and which of them were acknowledged or seen after a
//! reopening. After each step the log must hold each of the latter exactly once at its offset, nothing that was never
//! handed over, and nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::Offset;
use queue::fault::{Effect, Fault, FaultDisk, Op, Survivors};
use queue::{Appending, Consumer, Log};

use crate::support::{all, open};

#[derive(Debug, Clone)]
enum Step {
    /// Appends of records of these sizes that share a group, and their answers.
    Append(Vec<Vec<usize>>),
    /// The same, with the process or the power gone while the group is being synced.
    CrashDuring(Vec<Vec<usize>>, Crash),
    Crash(Crash),
    /// Closed and opened again by the same process.
    Reopen,
    /// One call fails, so many calls from now.
    Break(Op, u32),
    /// The disk fills up after so many more bytes; none: there is room again.
    Room(Option<u64>),
    /// The consumer commits the position this share of the way to the end.
    Commit(u8),
    Trim,
}

#[derive(Debug, Clone, Copy)]
enum Crash {
    Kill,
    Power(Survivors),
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0..40_usize, 400..700_usize, 0..3_000_usize];
    let appends = prop::collection::vec(prop::collection::vec(size, 1..4), 1..5);
    let op = prop::sample::select(vec![
        Op::Sync,
        Op::Sync,
        Op::Write,
        Op::Create,
        Op::SyncDir,
        Op::Truncate,
        Op::Rename,
        Op::Remove,
    ]);
    prop_oneof![
        6 => appends.clone().prop_map(Step::Append),
        3 => (appends, crash()).prop_map(|(appends, crash)| Step::CrashDuring(appends, crash)),
        2 => crash().prop_map(Step::Crash),
        1 => Just(Step::Reopen),
        2 => (op, 0..4_u32).prop_map(|(op, after)| Step::Break(op, after)),
        2 => prop::option::of(0..4_000_u64).prop_map(Step::Room),
        2 => any::<u8>().prop_map(Step::Commit),
        1 => Just(Step::Trim),
    ]
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![
        1 => Just(Crash::Kill),
        1 => Just(Crash::Power(Survivors::Nothing)),
        1 => Just(Crash::Power(Survivors::Everything)),
        4 => any::<u64>().prop_map(|seed| Crash::Power(Survivors::Some { seed })),
    ]
}

/// A record that nobody else has: its number, then bytes that follow from it.
fn record(number: u64, size: usize) -> Vec<u8> {
    let filler = (0..size).map(|at| (number.wrapping_mul(31) as u8).wrapping_add(at as u8));
    number.to_le_bytes().into_iter().chain(filler).collect()
}

struct World {
    disk: FaultDisk,
    log: Log,
    consumer: Consumer,
    committed: Offset,
    handed_over: BTreeSet<Vec<u8>>,
    /// Acknowledged, or seen after a reopening: must never be lost.
    kept: BTreeMap<u64, Vec<u8>>,
    numbers: u64,
}

impl World {
    fn new() -> Self {
        let disk = FaultDisk::new();
        let log = open(&disk).0;
        let consumer = log.consumer("c").unwrap();
        let (handed_over, kept) = (BTreeSet::new(), BTreeMap::new());
        Self { disk, log, consumer, committed: Offset(0), handed_over, kept, numbers: 0 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(appends) => {
                let answers = self.hand_over(appends);
                self.note_answers(answers);
            }
            Step::CrashDuring(appends, crash) => {
                // Only a healthy log comes to its sync for certain.
                self.disk.clear();
                self.disk.set_capacity(None);
                if self.log.state().failure.is_some() {
                    self.reopen(None);
                }
                let held = self.disk.hold_syncs();
                let answers = self.hand_over(appends);
                held.wait_for(1);
                self.reopen_after(*crash, answers);
            }
            Step::Crash(crash) => self.reopen_after(*crash, Vec::new()),
            Step::Reopen => self.reopen(None),
            Step::Break(op, after) => self.disk.script(Fault::new(*op, Effect::Broken).after(*after)),
            Step::Room(bytes) => {
                let used: usize = self.disk.paths().iter().map(|path| self.disk.contents(path).unwrap().len()).sum();
                self.disk.set_capacity(bytes.map(|bytes| used as u64 + bytes));
            }
            Step::Commit(share) => {
                let (from, to) = (self.consumer.position().0, self.log.next_offset().0);
                let position = Offset(from + (to - from) * u64::from(*share) / 255);
                if self.consumer.commit(position).is_ok() {
                    self.committed = position;
                }
            }
            Step::Trim => {
                let _ = self.log.trim();
            }
        }
    }

    fn hand_over(&mut self, appends: &[Vec<usize>]) -> Vec<(Vec<Vec<u8>>, Appending)> {
        let mut answers = Vec::new();
        for sizes in appends {
            let mut records = Vec::new();
            for size in sizes {
                self.numbers += 1;
                records.push(record(self.numbers, *size));
            }
            self.handed_over.extend(records.iter().cloned());
            answers.push((records.clone(), self.log.append(records)));
        }
        answers
    }

    fn note_answers(&mut self, answers: Vec<(Vec<Vec<u8>>, Appending)>) {
        for (records, answer) in answers {
            if let Ok(last) = answer.wait() {
                let first = last.0 + 1 - records.len() as u64;
                for (offset, record) in (first..).zip(records) {
                    assert_eq!(self.kept.insert(offset, record), None, "offset {offset} was given twice");
                }
            }
        }
    }

    fn reopen_after(&mut self, crash: Crash, answers: Vec<(Vec<Vec<u8>>, Appending)>) {
        let next_life = match crash {
            Crash::Kill => self.disk.kill(),
            Crash::Power(survivors) => self.disk.power_cut(survivors),
        };
        self.note_answers(answers);
        self.reopen(Some(next_life));
    }

    fn reopen(&mut self, next_life: Option<FaultDisk>) {
        self.log.close();
        self.disk = next_life.unwrap_or_else(|| self.disk.clone());
        self.disk.clear();
        self.disk.set_capacity(None);
        let (log, recovery) = open(&self.disk);
        for damage in &recovery.damaged {
            assert!(damage.unacked_possible || damage.records == 0 || self.was_hole(damage), "{damage:?}");
            let lost = damage.first.0..damage.first.0 + damage.records;
            assert_eq!(self.kept.range(lost).next(), None, "{damage:?}");
        }
        self.log = log;
        self.consumer = self.log.consumer("c").unwrap();
        assert!(self.consumer.position() >= self.committed);
        self.committed = self.consumer.position();
        // What can be read now was synced by opening, so from now on it may not be lost either.
        for (offset, record) in all(&self.log) {
            self.kept.insert(offset, record);
        }
    }

    /// A hole that an earlier power cut left in a group that was never acknowledged stays where it is.
    fn was_hole(&self, damage: &queue::Damage) -> bool {
        self.kept.range(damage.first.0..).next().is_some()
    }

    fn check(&self) {
        let read = all(&self.log);
        let state = self.log.state();
        assert!(state.oldest <= self.committed);
        let mut seen = BTreeSet::new();
        let mut last = None;
        for (offset, record) in &read {
            assert!(last < Some(*offset), "offsets rise");
            last = Some(*offset);
            assert!(self.handed_over.contains(record), "offset {offset} holds what nobody handed over");
            assert!(seen.insert(record), "offset {offset} holds a record for the second time");
        }
        let expected: Vec<_> = self.kept.range(state.oldest.0..).map(|(offset, record)| (*offset, record)).collect();
        let read: Vec<_> = read.iter().map(|(offset, record)| (*offset, record)).collect();
        assert_eq!(read.len(), expected.len(), "{:?}", (state, &expected.last().map(|(offset, _)| offset)));
        assert!(read == expected, "an offset holds another record than before");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kept_record_is_there_once_whatever_happens(steps in prop::collection::vec(step(), 1..25)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
        world.reopen_after(Crash::Power(Survivors::Nothing), Vec::new());
        world.check();
    }
}
