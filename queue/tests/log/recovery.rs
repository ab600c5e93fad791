//! Opening after a crash: what is cut, what is skipped, what is refused, what is said.

use std::path::Path;

use protocol::Offset;
use queue::fault::{Effect, Fault, FaultDisk, Op, Survivors};
use queue::{Cut, Damage, LogError};

use crate::support::{DIR, all, append, offsets, open, options, segment, try_open};

/// Bytes of a segment's header and of a frame without its record.
const HEADER: usize = 32;
const FRAME: usize = 24;

/// A disk with one segment of `records` records of 10 bytes, each acknowledged alone, and a dead process.
fn written(records: u8) -> FaultDisk {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    for number in 0..records {
        append(&log, &[number; 10]).unwrap();
    }
    disk.kill()
}

fn change(disk: &FaultDisk, base: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.contents(&segment(base)).unwrap();
    change(&mut bytes);
    disk.plant(&segment(base), bytes);
}

fn name(base: u64) -> String {
    format!("{base:020}.log")
}

#[test]
fn a_torn_tail_is_saved_cut_and_said_exactly() {
    let tail_at = (HEADER + 2 * (FRAME + 10)) as u64;
    let half_frame = written(3).contents(&segment(0)).unwrap()[tail_at as usize..][..20].to_vec();
    for (what, tail, saved) in [
        ("half a frame", half_frame, true),
        ("one byte", vec![1], true),
        ("garbage", vec![0xab; 700], true),
        ("zeros", vec![0; 4_096], false),
    ] {
        let disk = written(2);
        change(&disk, 0, |bytes| bytes.extend(&tail));
        let (log, recovery) = open(&disk);
        let file = saved.then(|| format!("cut-{:020}-{tail_at}-0", 0));
        let cut = Cut { segment: name(0), at_byte: tail_at, bytes: tail.len() as u64, saved: file.clone() };
        assert_eq!(recovery.cut, Some(cut), "{what}");
        assert_eq!((recovery.records, recovery.next, recovery.damaged), (2, Offset(2), vec![]), "{what}");
        if let Some(file) = file {
            assert_eq!(disk.contents(&Path::new(DIR).join(file)), Some(tail), "{what}");
        }
        assert_eq!(append(&log, b"next"), Ok(2), "{what}");
        drop(log);
        let disk = disk.power_cut(Survivors::Nothing);
        let (log, recovery) = open(&disk);
        assert_eq!((recovery.cut, offsets(&log)), (None, vec![0, 1, 2]), "{what}");
    }
}

#[test]
fn every_length_of_a_torn_tail_gives_the_whole_records_before_it() {
    let whole = written(3).contents(&segment(0)).unwrap();
    for length in 0..=whole.len() {
        let disk = FaultDisk::new();
        disk.plant(&segment(0), whole[..length].to_vec());
        let (log, recovery) = open(&disk);
        let records = length.saturating_sub(HEADER) / (FRAME + 10);
        let expected: Vec<_> = (0..records).map(|number| (number as u64, vec![number as u8; 10])).collect();
        assert_eq!(all(&log), expected, "{length} bytes");
        assert_eq!(recovery.next, Offset(records as u64));
        let kept = if length < HEADER { 0 } else { HEADER + records * (FRAME + 10) };
        assert_eq!(recovery.cut.map_or(0, |cut| cut.bytes), (length - kept) as u64, "{length} bytes");
        assert_eq!(append(&log, b"on"), Ok(records as u64));
    }
}

#[test]
fn a_damaged_record_in_the_middle_is_skipped_counted_and_reported() {
    let at = HEADER + 2 * (FRAME + 10);
    // Any byte of its frame or of the record.
    for byte in 0..FRAME + 10 {
        let disk = written(5);
        change(&disk, 0, |bytes| bytes[at + byte] ^= 0x10);
        let (log, recovery) = open(&disk);
        let damage = Damage {
            segment: name(0),
            at_byte: at as u64,
            bytes: (FRAME + 10) as u64,
            first: Offset(2),
            records: 1,
            unacked_possible: false,
        };
        assert_eq!(recovery.damaged, [damage], "byte {byte}");
        assert_eq!((recovery.cut, recovery.records, recovery.next), (None, 4, Offset(5)), "byte {byte}");
        assert_eq!(offsets(&log), [0, 1, 3, 4], "byte {byte}");
        assert_eq!(log.read(Offset(2), 1).unwrap(), [(Offset(3), vec![3; 10])]);
        assert_eq!(log.state().damaged_records, 1);
        assert_eq!(append(&log, b"on"), Ok(5));
    }
}

#[test]
fn a_record_that_looks_like_a_frame_is_never_taken_for_one() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    append(&log, b"first").unwrap();
    // A whole frame of offset 2, right in everything but the mark, which the forger can't know.
    let foreign = FaultDisk::new();
    let _ = queue::Disk::nonce(&foreign);
    open(&foreign).0.append(vec![vec![], vec![], b"forged".to_vec()]).wait().unwrap();
    let forged = foreign.contents(&segment(0)).unwrap()[HEADER + 2 * FRAME..].to_vec();
    append(&log, &[forged, vec![0; 100]].concat()).unwrap();
    append(&log, b"last").unwrap();
    let disk = disk.kill();
    // The frame around the forger's record is damaged, so its inside is searched.
    change(&disk, 0, |bytes| bytes[HEADER + FRAME + 5 + 4] ^= 1);
    assert_eq!(all(&open(&disk).0), [(0, b"first".to_vec()), (2, b"last".to_vec())]);
}

#[test]
fn damage_found_by_a_reader_is_counted_once() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    (0..3).for_each(|number| assert_eq!(append(&log, &[1; 10]), Ok(number)));
    // Through the open log's back: the reader opens the file anew.
    change(&disk, 0, |bytes| bytes[HEADER + FRAME + 10 + FRAME] ^= 1);
    assert_eq!((offsets(&log), offsets(&log)), (vec![0, 2], vec![0, 2]));
    assert_eq!(log.state().damaged_records, 1);
    assert_eq!(log.damaged()[0].first, Offset(1));
    change(&disk, 0, |bytes| bytes[HEADER + 2 * (FRAME + 10) + FRAME] ^= 1);
    assert_eq!(offsets(&log), [0]);
    assert_eq!((log.state().damaged_records, log.damaged().len()), (2, 1), "it is one place that has grown");
}

/// Segments 0 (offsets 0, 1), 2 (2, 3) and 4 (4).
fn three_segments() -> FaultDisk {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    for number in 0..5 {
        append(&log, &[number; 1_500]).unwrap();
    }
    disk.kill()
}

#[test]
fn a_closed_segment_that_lost_its_end_is_damaged_not_torn() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change, u64, u64); 4] = [
        ("shorter", |bytes| bytes.truncate(2_000), 2_000 - 1_556, 1),
        ("shorter by a record", |bytes| bytes.truncate(1_556), 0, 1),
        ("zeros", |bytes| bytes[1_556..].fill(0), 1_524, 1),
        ("garbage", |bytes| bytes[1_556 + 3..].fill(9), 1_524, 1),
    ];
    for (what, damage, bytes, records) in changes {
        let disk = three_segments();
        change(&disk, 2, damage);
        let before = disk.contents(&segment(2));
        let (log, recovery) = open(&disk);
        let expected =
            Damage { segment: name(2), at_byte: 1_556, bytes, first: Offset(3), records, unacked_possible: false };
        assert_eq!(recovery.damaged, [expected], "{what}");
        assert_eq!((recovery.cut, offsets(&log)), (None, vec![0, 1, 2, 4]), "{what}");
        assert_eq!(disk.contents(&segment(2)), before, "{what}: opening changes nothing of it");
    }
}

#[test]
fn a_missing_segment_is_a_gap_that_is_reported() {
    let disk = three_segments();
    queue::Disk::remove(&disk, &segment(2)).unwrap();
    let (log, recovery) = open(&disk);
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!((recovery.damaged[0].first, recovery.damaged[0].records), (Offset(2), 2));
    assert_eq!(offsets(&log), [0, 1, 4]);
    assert_eq!(log.read(Offset(2), 1).unwrap()[0].0, Offset(4));
}

#[test]
fn a_damaged_header_costs_no_record() {
    for base in [2, 4] {
        let disk = three_segments();
        change(&disk, base, |bytes| bytes[..HEADER].fill(0));
        let (log, recovery) = open(&disk);
        assert_eq!((recovery.damaged, recovery.cut, offsets(&log)), (vec![], None, vec![0, 1, 2, 3, 4]), "{base}");
    }
}

#[test]
fn a_segment_of_which_nothing_can_be_read_is_left_and_its_offsets_are_not_given_again() {
    let disk = three_segments();
    change(&disk, 4, |bytes| bytes[..HEADER + FRAME].fill(0));
    let before = disk.contents(&segment(4));
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.damaged[0].first, recovery.damaged[0].at_byte), (Offset(4), 0));
    assert_eq!(disk.contents(&segment(4)), before);
    let next = append(&log, b"on").unwrap();
    assert_eq!((next, recovery.next.0), (4 + 1_524_u64.div_ceil(24), next));
    assert_eq!(offsets(&log), [0, 1, 2, 3, next]);
}

#[test]
fn a_segment_that_was_being_made_is_made_again() {
    for length in [0, 1, 31, 32] {
        let disk = three_segments();
        disk.plant(&segment(5), vec![0; length]);
        let (log, recovery) = open(&disk);
        assert_eq!(recovery.cut.map_or(0, |cut| cut.bytes), length as u64);
        assert_eq!((recovery.damaged, append(&log, b"on")), (vec![], Ok(5)));
        drop(log);
        assert_eq!(offsets(&open(&disk.power_cut(Survivors::Nothing)).0), [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn a_hole_in_the_last_group_says_that_it_may_never_have_been_acknowledged() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    append(&log, b"before").unwrap();
    let held = disk.hold_syncs();
    let group = log.append(vec![vec![1; 600], vec![2; 600], vec![3; 600]]);
    held.wait_for(1);
    let disk = disk.power_cut(Survivors::Everything);
    assert!(group.wait().is_err());
    // The sector with the middle of the first record was not written.
    change(&disk, 0, |bytes| bytes[512..600].fill(0));
    let (log, recovery) = open(&disk);
    assert!(recovery.damaged[0].unacked_possible);
    assert_eq!((recovery.damaged[0].first, recovery.damaged[0].records), (Offset(1), 1));
    assert_eq!(offsets(&log), [0, 2, 3]);
    // A later group proves that the one before it was synced, or is at least as good as that.
    append(&log, b"after").unwrap();
    drop(log);
    assert!(!open(&disk).1.damaged[0].unacked_possible);
}

#[test]
fn records_that_were_seen_after_reopening_are_never_lost_to_a_forgotten_sync_error() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    append(&log, b"synced").unwrap();
    disk.script(Fault::new(Op::Sync, Effect::Broken));
    assert!(append(&log, b"in memory only").is_err());
    drop(log);
    // The operating system still shows the record and takes it for written.
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.records, offsets(&log)), (2, vec![0, 1]));
    drop(log);
    let disk = disk.power_cut(Survivors::Nothing);
    assert_eq!(offsets(&open(&disk).0), [0, 1]);
}

#[test]
fn offsets_that_somebody_has_read_are_not_given_again() {
    let disk = written(3);
    let log = open(&disk).0;
    log.consumer("process").unwrap().commit(Offset(3)).unwrap();
    drop(log);
    change(&disk, 0, |bytes| bytes.truncate(HEADER + FRAME + 10));
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.damaged[0].first, recovery.damaged[0].records), (Offset(1), 2));
    assert_eq!(append(&log, b"new"), Ok(3));
    assert_eq!(offsets(&log), [0, 3]);
    drop(log);
    let floor = Offset(9);
    let log = queue::Log::open_at_least(std::sync::Arc::new(disk), Path::new(DIR), options(), floor).unwrap().0;
    assert_eq!(append(&log, b"newer"), Ok(9));
    assert_eq!(offsets(&log), [0, 3, 9]);
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let disk = written(1);
    let foreign = ["notes.txt", "1.log", "00000000000000000009.log.bak", "consumer-a b", "cut-x"];
    foreign.iter().for_each(|file| disk.plant(&Path::new(DIR).join(file), vec![1]));
    let (_log, recovery) = open(&disk);
    assert_eq!((recovery.segments, recovery.records), (1, 1));
    foreign.iter().for_each(|file| assert_eq!(disk.contents(&Path::new(DIR).join(file)), Some(vec![1])));
}

#[test]
fn a_full_disk_does_not_keep_the_log_from_opening() {
    let disk = written(2);
    change(&disk, 0, |bytes| bytes.extend([7; 100]));
    disk.set_capacity(Some(0));
    let (log, recovery) = open(&disk);
    assert_eq!(recovery.cut.unwrap().saved, None);
    assert_eq!(offsets(&log), [0, 1]);
}

#[test]
fn side_files_of_cut_tails_do_not_pile_up_without_end() {
    let disk = written(1);
    for _ in 0..70 {
        change(&disk, 0, |bytes| bytes.push(1));
        assert!(open(&disk).1.cut.is_some());
    }
    let kept = disk.paths().iter().filter(|path| path.to_string_lossy().contains("/cut-")).count();
    assert_eq!(kept, 64);
}

#[test]
fn a_segment_that_can_not_be_understood_is_refused_and_left_alone() {
    let disk = three_segments();
    let bytes = disk.contents(&segment(2)).unwrap();
    disk.plant(&segment(9), bytes);
    let before = disk.paths();
    assert!(matches!(try_open(&disk, options()), Err(LogError::Misnamed { found: Offset(2), .. })));
    assert_eq!(disk.paths(), before);
}
