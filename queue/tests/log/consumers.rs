//! Named consumers: durable positions, and what may be trimmed.

use std::path::Path;

use protocol::Offset;
use queue::fault::{Effect, Fault, FaultDisk, Op, Survivors};
use queue::{Log, LogError, Options};

use crate::support::{DIR, append, offsets, open, options, try_open};

/// Segments of two records each.
fn fill(log: &Log, records: usize) {
    (0..records).for_each(|_| assert!(append(log, &[1; 1_500]).is_ok()));
}

#[test]
fn a_committed_position_survives_a_power_cut() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    fill(&log, 3);
    let consumer = log.consumer("process").unwrap();
    assert_eq!((consumer.name(), consumer.position()), ("process", Offset(0)));
    consumer.commit(Offset(2)).unwrap();
    assert_eq!(log.consumer("process").unwrap().position(), Offset(2));
    let disk = disk.power_cut(Survivors::Nothing);
    let (log, _) = open(&disk);
    assert_eq!(log.state().consumers, [("process".to_owned(), Some(Offset(2)))]);
    assert_eq!(log.consumer("process").unwrap().position(), Offset(2));
}

#[test]
fn a_power_cut_during_a_commit_leaves_the_old_or_the_new_position() {
    let commit_ops = [(Op::Create, "new"), (Op::Write, "new"), (Op::Sync, "new"), (Op::Rename, ""), (Op::SyncDir, "")];
    for (op, path) in commit_ops {
        for seed in 0..40 {
            let disk = FaultDisk::new();
            let (log, _) = open(&disk);
            fill(&log, 3);
            let consumer = log.consumer("process").unwrap();
            consumer.commit(Offset(1)).unwrap();
            disk.script(Fault::new(op, Effect::Broken).on(path));
            assert!(matches!(consumer.commit(Offset(3)), Err(LogError::Io { .. })), "{op:?}");
            assert_eq!(consumer.position(), Offset(1), "{op:?}");
            let (log, _) = open(&disk.power_cut(Survivors::Some { seed }));
            let position = log.consumer("process").unwrap().position();
            assert!(position == Offset(1) || (op == Op::SyncDir && position == Offset(3)), "{op:?} {position}");
        }
    }
}

#[test]
fn a_failed_commit_can_be_done_again() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    fill(&log, 1);
    let consumer = log.consumer("process").unwrap();
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename, Op::SyncDir] {
        disk.script(Fault::new(op, Effect::Broken));
        assert!(consumer.commit(Offset(1)).is_err(), "{op:?}");
    }
    consumer.commit(Offset(1)).unwrap();
    assert_eq!(open(&disk.power_cut(Survivors::Nothing)).0.consumer("process").unwrap().position(), Offset(1));
}

#[test]
fn a_position_moves_forward_and_within_the_log_only() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    fill(&log, 3);
    let consumer = log.consumer("process").unwrap();
    consumer.commit(Offset(2)).unwrap();
    let syncs = disk.counts().syncs;
    consumer.commit(Offset(2)).unwrap();
    assert_eq!(disk.counts().syncs, syncs, "the present position costs nothing");
    assert!(matches!(consumer.commit(Offset(1)), Err(LogError::PositionBack { .. })));
    assert!(matches!(consumer.commit(Offset(4)), Err(LogError::PositionAhead { .. })));
    assert_eq!(log.reset_consumer("process", Offset(1)).unwrap().position(), Offset(1));
    assert_eq!(consumer.position(), Offset(1), "handles of one name share the position");
    assert!(matches!(log.reset_consumer("process", Offset(4)), Err(LogError::PositionAhead { .. })));
}

#[test]
fn only_segments_that_every_consumer_has_passed_are_trimmed() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    fill(&log, 7);
    assert_eq!(log.trim().unwrap(), 0, "without a consumer nobody knows what is needed");
    let (fast, slow) = (log.consumer("fast").unwrap(), log.consumer("slow").unwrap());
    fast.commit(Offset(7)).unwrap();
    for (position, removed, oldest) in [(0, 0, 0), (1, 0, 0), (2, 1, 2), (5, 1, 4), (7, 1, 6)] {
        slow.commit(Offset(position)).unwrap();
        assert_eq!(log.trim().unwrap(), removed, "{position}");
        assert_eq!(log.state().oldest, Offset(oldest), "{position}");
    }
    assert_eq!(offsets(&log), [6], "the segment that is written to stays");
    assert_eq!(log.consumer("late").unwrap().position(), Offset(6), "a new one begins at the oldest");
    let (log, recovery) = open(&disk.power_cut(Survivors::Nothing));
    assert_eq!((recovery.damaged, offsets(&log)), (vec![], vec![6]));
    assert_eq!(append(&log, b"on"), Ok(7));
}

#[test]
fn a_consumer_that_is_not_in_use_still_keeps_its_records() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    fill(&log, 5);
    drop(log.consumer("away").unwrap());
    log.consumer("process").unwrap().commit(Offset(5)).unwrap();
    assert_eq!(log.trim().unwrap(), 0);
    drop(log);
    assert_eq!(open(&disk).0.trim().unwrap(), 0);
}

#[test]
fn retained_bytes_stay_although_everybody_has_passed_them() {
    let (log, _) = try_open(&FaultDisk::new(), Options { retain_bytes: 5_000, ..options() }).unwrap();
    fill(&log, 8);
    log.consumer("process").unwrap().commit(Offset(8)).unwrap();
    // 3,080 bytes a segment: two are kept.
    assert_eq!((log.trim().unwrap(), log.state().segments), (2, 2));
}

#[test]
fn a_power_cut_during_trimming_leaves_no_gap() {
    for seed in 0..60 {
        let disk = FaultDisk::new();
        let (log, _) = open(&disk);
        fill(&log, 9);
        log.consumer("process").unwrap().commit(Offset(9)).unwrap();
        disk.script(Fault::new(Op::SyncDir, Effect::Broken).after(u32::try_from(seed % 4).unwrap()));
        assert!(log.trim().is_err());
        let (log, recovery) = open(&disk.power_cut(Survivors::Some { seed }));
        assert_eq!(recovery.damaged, [], "seed {seed}");
        assert!(log.trim().is_ok());
    }
}

#[test]
fn a_segment_that_could_not_be_removed_is_removed_before_the_next() {
    for op in [Op::Remove, Op::SyncDir] {
        let disk = FaultDisk::new();
        let (log, _) = open(&disk);
        fill(&log, 7);
        log.consumer("process").unwrap().commit(Offset(4)).unwrap();
        disk.script(Fault::new(op, Effect::Broken));
        assert!(log.trim().is_err(), "{op:?}");
        let left = log.state();
        assert_eq!(left.oldest.0, *offsets(&log).first().unwrap(), "{op:?}");
        assert_eq!(log.trim().unwrap(), left.segments - 2, "{op:?}");
        let (log, recovery) = open(&disk.power_cut(Survivors::Nothing));
        assert_eq!((recovery.damaged, offsets(&log)), (vec![], vec![4, 5, 6]), "{op:?}");
    }
}

#[test]
fn a_damaged_position_is_said_and_stops_trimming_until_it_is_set() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    fill(&log, 5);
    for name in ["a", "b"] {
        log.consumer(name).unwrap().commit(Offset(5)).unwrap();
    }
    drop(log);
    disk.plant(&Path::new(DIR).join("consumer-a"), b"rivulet consumer 1\n5\n00000000\n".to_vec());
    let (log, _) = open(&disk);
    assert!(matches!(log.consumer("a"), Err(LogError::ConsumerDamaged { .. })));
    assert_eq!(log.state().consumers, [("a".to_owned(), None), ("b".to_owned(), Some(Offset(5)))]);
    assert_eq!(log.trim().unwrap(), 0);
    log.reset_consumer("a", Offset(3)).unwrap();
    assert_eq!(log.trim().unwrap(), 1);
}

#[test]
fn a_consumer_of_a_closed_log_touches_nothing() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    fill(&log, 2);
    let consumer = log.consumer("process").unwrap();
    drop(log);
    let (_other, _) = open(&disk);
    assert!(matches!(consumer.commit(Offset(1)), Err(LogError::Closed)));
}
