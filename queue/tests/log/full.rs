//! Broken and full disks: what is refused, what is left behind, what goes on.

use protocol::Offset;
use queue::fault::{Effect, Fault, FaultDisk, Op, Survivors};
use queue::{AppendError, Options};

use crate::support::{all, append, offsets, open, options, segment, try_open};

/// Waits until the log's state says what `test` wants; the log looks for room once a second.
#[track_caller]
fn soon(log: &queue::Log, test: impl Fn(&queue::State) -> bool) {
    let started = std::time::Instant::now();
    while !test(&log.state()) {
        assert!(started.elapsed().as_secs() < 5, "not within 5 seconds: {:?}", log.state());
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_refuses_keeps_reading_and_goes_on_by_itself() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    append(&log, &[1; 1_000]).unwrap();
    disk.set_capacity(Some(32 + 1_024 + 500));
    assert_eq!(append(&log, &[2; 1_000]), Err(AppendError::Full { bytes: 1_024 }));
    assert!(log.state().full);
    assert_eq!(offsets(&log), [0]);
    assert_eq!(append(&log, &[3; 10]), Ok(1), "what fits is taken");
    assert_eq!(append(&log, &[2; 1_000]), Err(AppendError::Full { bytes: 1_024 }));
    disk.set_capacity(None);
    soon(&log, |state| !state.full);
    assert_eq!(append(&log, &[4; 1_000]), Ok(2));
    assert_eq!(log.state().failure, None);
}

#[test]
fn the_reserve_is_left_free() {
    let disk = FaultDisk::new();
    let (log, _) = try_open(&disk, Options { reserve_bytes: 5_000, ..options() }).unwrap();
    disk.set_capacity(Some(32 + 5_000 + 124));
    assert_eq!(append(&log, &[1; 100]), Ok(0));
    assert_eq!(append(&log, &[2; 0]), Err(AppendError::Full { bytes: 24 }));
    assert!(log.consumer("process").unwrap().commit(Offset(1)).is_ok(), "positions may use the reserve");
}

#[test]
fn the_logs_own_limit_makes_it_full_until_it_is_trimmed() {
    let disk = FaultDisk::new();
    let (log, _) = try_open(&disk, Options { log_bytes_max: Some(9_000), ..options() }).unwrap();
    let consumer = log.consumer("process").unwrap();
    let mut taken = 0;
    while append(&log, &[1; 1_000]).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 8);
    consumer.commit(Offset(6)).unwrap();
    assert_eq!(log.trim().unwrap(), 2);
    assert_eq!(append(&log, &[1; 1_000]), Ok(8));
}

#[test]
fn a_group_that_was_half_written_when_the_disk_was_full_leaves_nothing() {
    for survivors in [Survivors::Nothing, Survivors::Everything, Survivors::Some { seed: 4 }] {
        let disk = FaultDisk::new();
        let (log, _) = open(&disk);
        append(&log, b"kept").unwrap();
        let size = disk.contents(&segment(0)).unwrap().len();
        disk.script(Fault::new(Op::Write, Effect::Short(700)));
        disk.script(Fault::new(Op::Write, Effect::Full));
        assert_eq!(append(&log, &[2; 1_000]), Err(AppendError::Full { bytes: 1_024 }));
        assert_eq!(disk.contents(&segment(0)).unwrap().len(), size);
        assert_eq!(append(&log, b"next"), Ok(1));
        let disk = disk.power_cut(survivors);
        let (log, recovery) = open(&disk);
        assert_eq!(recovery.cut, None);
        assert_eq!(all(&log), [(0, b"kept".to_vec()), (1, b"next".to_vec())]);
    }
}

#[test]
fn no_room_for_a_new_segment_leaves_nothing_either() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    append(&log, &[1; 4_000]).unwrap();
    for (op, effect) in [(Op::Create, Effect::Full), (Op::Write, Effect::Full)] {
        disk.script(Fault::new(op, effect).on(".log"));
        assert_eq!(append(&log, &[2; 1_000]), Err(AppendError::Full { bytes: 1_024 }), "{op:?}");
        assert_eq!(disk.contents(&segment(1)), None);
    }
    assert_eq!(append(&log, &[3; 1_000]), Ok(1));
    assert_eq!(offsets(&log), [0, 1]);
}

#[test]
fn short_and_interrupted_writes_are_gone_on_with() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    for effect in [Effect::Short(10), Effect::Interrupted, Effect::Short(1), Effect::Interrupted] {
        disk.script(Fault::new(Op::Write, effect));
        disk.script(Fault::new(Op::Read, effect).times(3));
    }
    append(&log, &[5; 300]).unwrap();
    assert_eq!(all(&log), [(0, vec![5; 300])]);
}

/// After these, nothing is acknowledged until the log was opened again.
#[test]
fn a_broken_disk_ends_all_acknowledgements_until_it_is_reopened() {
    for (op, name) in
        [(Op::Sync, "0.log"), (Op::Write, "0.log"), (Op::Create, "1.log"), (Op::Sync, "1.log"), (Op::SyncDir, "log")]
    {
        let disk = FaultDisk::new();
        let (log, _) = open(&disk);
        append(&log, &[1; 2_000]).unwrap();
        let record = if name == "0.log" { vec![2; 100] } else { vec![2; 3_000] };
        disk.script(Fault::new(op, Effect::Broken).on(name));
        let failed = append(&log, &record).unwrap_err();
        assert!(matches!(failed, AppendError::Failed { .. }) && !failed.passes(), "{op:?} {failed:?}");
        assert_eq!(append(&log, b"later"), Err(failed.clone()), "{op:?}: the disk works again, the log must not");
        assert!(log.state().failure.is_some());
        assert_eq!(offsets(&log), [0], "{op:?}: reading goes on");
        drop(log);
        let (log, _) = open(&disk);
        let next = append(&log, b"after").unwrap();
        assert!(next == 1 || next == 2, "{op:?}");
        let reopened = all(&log);
        let disk = disk.power_cut(Survivors::Nothing);
        assert_eq!(all(&open(&disk).0), reopened, "{op:?}: what was read after reopening stays");
    }
}

#[test]
fn a_full_disk_that_can_not_take_back_is_a_broken_one() {
    for op in [Op::Truncate, Op::Sync] {
        let disk = FaultDisk::new();
        let (log, _) = open(&disk);
        disk.script(Fault::new(Op::Write, Effect::Full));
        disk.script(Fault::new(op, Effect::Broken));
        assert!(matches!(append(&log, b"a"), Err(AppendError::Failed { .. })), "{op:?}");
    }
}

#[test]
fn those_who_wait_when_the_disk_breaks_are_told() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    let held = disk.hold_syncs();
    let first = log.append(vec![b"a".to_vec()]);
    held.wait_for(1);
    let second = log.append(vec![b"b".to_vec()]);
    disk.script(Fault::new(Op::Sync, Effect::Broken));
    drop(held);
    let reason = "cannot sync /log/00000000000000000000.log: Input/output error (os error 5)";
    assert_eq!(first.wait(), Err(AppendError::Failed { reason: reason.into() }));
    assert_eq!(second.wait(), Err(AppendError::Failed { reason: reason.into() }));
    assert_eq!(log.state().failure.as_deref(), Some(reason));
    assert_eq!(log.state().waiting_records, 0);
}
