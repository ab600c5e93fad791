//! Bytes that change on the disk: whatever they are, no record is ever wrong, and those that were not hit are there.

use std::collections::BTreeSet;

use proptest::prelude::*;
use queue::fault::FaultDisk;

use crate::support::{all, append, open, segment};

/// Header of a segment and of a frame.
const HEADER: usize = 32;
const FRAME: usize = 24;

#[derive(Debug, Clone)]
enum Rot {
    Flip(usize, u8),
    Fill(usize, usize, u8),
    Random(usize, Vec<u8>),
}

fn rot() -> impl Strategy<Value = Rot> {
    prop_oneof![
        (any::<usize>(), 1..=255_u8).prop_map(|(at, mask)| Rot::Flip(at, mask)),
        (any::<usize>(), 1..600_usize, any::<u8>()).prop_map(|(at, length, byte)| Rot::Fill(at, length, byte)),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..100)).prop_map(|(at, bytes)| Rot::Random(at, bytes)),
    ]
}

fn apply(rot: &Rot, bytes: &mut [u8]) {
    let (at, new) = match rot {
        Rot::Flip(at, mask) => (at % bytes.len(), vec![bytes[at % bytes.len()] ^ mask]),
        Rot::Fill(at, length, byte) => (at % bytes.len(), vec![*byte; *length]),
        Rot::Random(at, new) => (at % bytes.len(), new.clone()),
    };
    bytes[at..].iter_mut().zip(new).for_each(|(to, from)| *to = from);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_that_were_not_hit_are_read_and_the_others_are_reported(
        sizes in prop::collection::vec(0..900_usize, 1..30),
        rots in prop::collection::vec(rot(), 1..4),
        which in any::<prop::sample::Index>(),
    ) {
        let disk = FaultDisk::new();
        let (log, _) = open(&disk);
        let records: Vec<Vec<u8>> = (0_u8..).zip(&sizes).map(|(number, size)| vec![number; *size]).collect();
        for record in &records {
            append(&log, record).unwrap();
        }
        drop(log);
        let bases: Vec<usize> =
            (0..records.len()).filter(|base| disk.contents(&segment(*base as u64)).is_some()).collect();
        let place = which.index(bases.len());
        let base = bases[place];
        let mut bytes = disk.contents(&segment(base as u64)).unwrap();
        let before = bytes.clone();
        rots.iter().for_each(|rot| apply(rot, &mut bytes));
        // Compared at the end, because a later change may undo an earlier one.
        let hit: BTreeSet<usize> = (0..bytes.len()).filter(|at| bytes[*at] != before[*at]).collect();
        disk.plant(&segment(base as u64), bytes);
        let header_hit = hit.range(..HEADER).next().is_some();
        let mut at = HEADER;
        let end = bases.get(place + 1).copied().unwrap_or(records.len());
        let mut whole: Vec<usize> = (0..base).chain(end..records.len()).collect();
        for (number, record) in records.iter().enumerate().take(end).skip(base) {
            let length = FRAME + record.len();
            if hit.range(at..at + length).next().is_none() {
                whole.push(number);
            }
            at += length;
        }
        whole.sort_unstable();
        let first_hit = !whole.contains(&base);
        let Ok((log, recovery)) = crate::support::try_open(&disk, crate::support::options()) else {
            panic!("a damaged record keeps the log from opening");
        };
        // Header and first frame both hit: the segment's mark is lost, and with it the rest of the segment.
        if header_hit && first_hit {
            whole.retain(|number| !(base..end).contains(number));
        }
        let expected: Vec<_> = whole.iter().map(|number| (*number as u64, records[*number].clone())).collect();
        prop_assert_eq!(all(&log), expected);
        let lost = records.len() - whole.len();
        let reported: u64 = recovery.damaged.iter().map(|damage| damage.records).sum();
        prop_assert!(reported >= lost as u64 || recovery.cut.is_some(), "{} lost, {:?}", lost, recovery);
        prop_assert_eq!(recovery.records, whole.len() as u64);
        let next = append(&log, b"on").unwrap();
        prop_assert!(whole.last().is_none_or(|last| next > *last as u64));
    }
}
