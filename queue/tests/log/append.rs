//! Appending and reading on a disk that works: offsets, groups, segments, limits, waking.

use std::sync::Arc;

use protocol::Offset;
use queue::fault::FaultDisk;
use queue::{AppendError, Options};

use crate::support::{all, append, block_on, offsets, open, options, segment, try_open};

#[test]
fn records_read_back_in_order_and_byte_for_byte() {
    let (log, _) = open(&FaultDisk::new());
    let records: Vec<Vec<u8>> = vec![b"a".to_vec(), vec![], vec![0; 5_000], (0..=255).collect()];
    assert_eq!(log.append(records.clone()).wait(), Ok(Offset(3)));
    assert_eq!(all(&log), (0..).zip(records).collect::<Vec<_>>());
    assert_eq!(append(&log, b"b"), Ok(4));
    assert_eq!(log.read(Offset(4), 1).unwrap(), [(Offset(4), b"b".to_vec())]);
    assert_eq!(log.read(Offset(5), 1).unwrap(), []);
    assert_eq!(log.read(Offset(99), 1).unwrap(), []);
}

#[test]
fn a_read_stops_at_its_bytes_but_gives_at_least_one_record() {
    let (log, _) = open(&FaultDisk::new());
    log.append(vec![vec![1; 10], vec![2; 10], vec![3; 10]]).wait().unwrap();
    for (bytes_max, records) in [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (usize::MAX, 3)] {
        assert_eq!(log.read(Offset(0), bytes_max).unwrap().len(), records, "{bytes_max}");
    }
}

#[test]
fn an_append_is_a_future_too() {
    let (log, _) = open(&FaultDisk::new());
    assert_eq!(block_on(log.append(vec![vec![1], vec![2]])), Ok(Offset(1)));
    assert_eq!(block_on(log.append(vec![])), Err(AppendError::Empty));
}

#[test]
fn nothing_is_acknowledged_or_readable_before_its_sync() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    let held = disk.hold_syncs();
    let answer = log.append(vec![b"a".to_vec()]);
    held.wait_for(1);
    assert_eq!(log.next_offset(), Offset(0));
    assert_eq!(log.read(Offset(0), 100).unwrap(), []);
    drop(held);
    assert_eq!(answer.wait(), Ok(Offset(0)));
    assert_eq!(log.next_offset(), Offset(1));
}

#[test]
fn what_piles_up_during_a_sync_shares_the_next_one() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    let held = disk.hold_syncs();
    let first = log.append(vec![b"first".to_vec()]);
    held.wait_for(1);
    let before = disk.counts();
    let others: Vec<_> = (0..100_u8).map(|byte| log.append(vec![vec![byte]])).collect();
    drop(held);
    assert_eq!(first.wait(), Ok(Offset(0)));
    for (number, other) in (1..).zip(others) {
        assert_eq!(other.wait(), Ok(Offset(number)));
    }
    let after = disk.counts();
    assert_eq!((after.syncs - before.syncs, after.writes - before.writes), (1, 1));
    assert_eq!(log.state().groups, 2);
}

#[test]
fn a_group_is_bounded_by_its_bytes() {
    let disk = FaultDisk::new();
    let (log, _) = try_open(&disk, Options { batch_bytes_max: 75, segment_bytes_max: 1 << 20, ..options() }).unwrap();
    let held = disk.hold_syncs();
    let first = log.append(vec![vec![0]]);
    held.wait_for(1);
    let others: Vec<_> = (0..10).map(|_| log.append(vec![vec![0; 100]])).collect();
    drop(held);
    first.wait().unwrap();
    for other in others {
        other.wait().unwrap();
    }
    // 124 bytes each with the frame: three reach four times 75 bytes.
    assert_eq!(log.state().groups, 1 + 4);
}

#[test]
fn senders_that_keep_coming_share_syncs() {
    let disk = FaultDisk::new();
    // Long enough that a slow machine doesn't cut a group short; a group is complete as soon as all eight are there.
    let (log, _) = try_open(&disk, Options { linger_ms: 1_000, ..options() }).unwrap();
    let held = disk.hold_syncs();
    let first = log.append(vec![vec![0]]);
    held.wait_for(1);
    let waiting: Vec<_> = (0..8_u8).map(|byte| log.append(vec![vec![byte]])).collect();
    drop(held);
    first.wait().unwrap();
    waiting.into_iter().for_each(|answer| assert!(answer.wait().is_ok()));
    assert_eq!(log.state().groups, 2);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| assert!(append(&log, b"x").is_ok())));
        }
    });
    assert_eq!(log.next_offset(), Offset(9 + 160));
    let groups = log.state().groups - 2;
    assert!((20..=30).contains(&groups), "{groups} groups for 160 appends of 8 senders");
}

#[test]
fn a_new_segment_is_begun_when_a_group_would_not_fit() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    for _ in 0..4 {
        append(&log, &[7; 1_500]).unwrap();
    }
    let big = append(&log, &[8; 9_000]).unwrap();
    assert_eq!(append(&log, b"z"), Ok(big + 1));
    let paths: Vec<_> = disk.paths().into_iter().filter(|path| path.extension().is_some()).collect();
    assert_eq!(paths, [segment(0), segment(2), segment(4), segment(5)]);
    assert_eq!(offsets(&log), [0, 1, 2, 3, 4, 5]);
    drop(log);
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.segments, recovery.records, recovery.next), (4, 6, Offset(6)));
    assert_eq!((recovery.cut, recovery.damaged), (None, vec![]));
    assert_eq!(offsets(&log), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn too_much_is_refused_by_the_limit_it_breaks() {
    let disk = FaultDisk::new();
    let limits = Options { record_bytes_max: 100, queue_bytes_max: 300, queue_records_max: 3, ..options() };
    let (log, _) = try_open(&disk, limits).unwrap();
    for (records, expected) in [
        (vec![], AppendError::Empty),
        (vec![vec![0; 101]], AppendError::TooLarge { bytes: 101, limit_bytes: 100 }),
        (vec![vec![0; 100]; 3], AppendError::TooLarge { bytes: 372, limit_bytes: 300 }),
        (vec![vec![]; 4], AppendError::TooMany { records: 4, limit_records: 3 }),
    ] {
        assert_eq!(log.append(records).wait(), Err(expected));
    }
    let held = disk.hold_syncs();
    let first = log.append(vec![vec![0; 100]]);
    held.wait_for(1);
    let second = log.append(vec![vec![0; 100], vec![0; 100]]);
    let busy = AppendError::Busy { waiting_records: 2, waiting_bytes: 248 };
    assert_eq!(log.append(vec![vec![0; 100]]).wait(), Err(busy.clone()));
    assert!(busy.passes());
    assert_eq!((log.state().waiting_records, log.state().waiting_bytes), (2, 248));
    drop(held);
    assert_eq!((first.wait(), second.wait()), (Ok(Offset(0)), Ok(Offset(2))));
    assert_eq!(append(&log, b"again"), Ok(3));
}

#[test]
fn readers_are_woken_by_new_records() {
    let (log, _) = open(&FaultDisk::new());
    let mut changed = log.changed();
    assert_eq!(*changed.borrow_and_update(), Offset(0));
    append(&log, b"a").unwrap();
    block_on(changed.changed()).unwrap();
    assert_eq!(*changed.borrow_and_update(), Offset(1));
    assert!(!changed.has_changed().unwrap());
}

#[test]
fn many_readers_see_whole_records_in_order_while_it_is_written() {
    let (log, _) = open(&FaultDisk::new());
    let log = Arc::new(log);
    std::thread::scope(|scope| {
        for step in 1..=3 {
            let log = Arc::clone(&log);
            scope.spawn(move || {
                let mut from = Offset(0);
                while from < Offset(600) {
                    for (offset, record) in log.read(from, step * 300).unwrap() {
                        assert_eq!(offset, from);
                        assert_eq!(record, [offset.0.to_le_bytes().to_vec(), vec![9; 50]].concat());
                        from = offset.next();
                    }
                }
            });
        }
        for number in 0..300_u64 {
            let pair = [number * 2, number * 2 + 1].map(|n| [n.to_le_bytes().to_vec(), vec![9; 50]].concat());
            log.append(pair.to_vec()).wait().unwrap();
        }
    });
    assert!(log.state().segments > 5);
}

#[test]
fn closing_writes_what_waits_and_refuses_what_comes() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    let waiting: Vec<_> = (0..10_u8).map(|byte| log.append(vec![vec![byte]])).collect();
    log.close();
    for (number, answer) in (0..).zip(waiting) {
        assert_eq!(answer.wait(), Ok(Offset(number)));
    }
    assert_eq!(append(&log, b"late"), Err(AppendError::Closed));
    log.close();
    let (_second, recovery) = open(&disk);
    assert_eq!(recovery.records, 10);
}
