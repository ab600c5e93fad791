//! Every error's text: an operator reads it at night, so it names the file and the limit.

use std::path::Path;

use protocol::Offset;
use queue::fault::{Effect, Fault, FaultDisk, Op};
use queue::{AppendError, LogError, Options};

use crate::support::{DIR, append, open, options, segment, try_open};

#[track_caller]
fn check(error: impl std::fmt::Display, expected: &str) {
    assert_eq!(error.to_string(), expected);
}

fn refused(disk: &FaultDisk, options: Options) -> LogError {
    try_open(disk, options).err().unwrap()
}

#[test]
fn refused_appends_say_the_limit() {
    for (error, expected) in [
        (AppendError::Empty, "no records to append"),
        (AppendError::TooLarge { bytes: 9, limit_bytes: 8 }, "9 bytes to append, the limit is 8 bytes"),
        (AppendError::TooMany { records: 9, limit_records: 8 }, "9 records to append, the limit is 8 records"),
        (
            AppendError::Busy { waiting_records: 2, waiting_bytes: 50 },
            "2 records of 50 bytes already wait to be written",
        ),
        (AppendError::Full { bytes: 9 }, "no room to append 9 bytes"),
        (AppendError::Failed { reason: "r".into() }, "the log has failed and must be reopened: r"),
        (AppendError::Closed, "the log is closed"),
    ] {
        check(error, expected);
    }
}

#[test]
fn a_folder_is_open_once() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    check(refused(&disk, options()), "the log folder /log is in use by another process");
    drop(log);
    assert!(try_open(&disk, options()).is_ok());
}

#[test]
fn options_out_of_bounds_are_named() {
    for (options, expected) in [
        (
            Options { segment_bytes_max: 0, ..options() },
            "segment_bytes_max is 0, it must be from 1 to 18446744073709551615",
        ),
        (Options { linger_ms: 60_001, ..options() }, "linger_ms is 60001, it must be from 0 to 60000"),
        (
            Options { batch_bytes_max: 0, ..options() },
            "batch_bytes_max is 0, it must be from 1 to 18446744073709551615",
        ),
        (
            Options { queue_records_max: 0, ..options() },
            "queue_records_max is 0, it must be from 1 to 18446744073709551615",
        ),
        (
            Options { queue_bytes_max: 5, record_bytes_max: 10, ..options() },
            "queue_bytes_max is 5, it must be from 34 to 18446744073709551615",
        ),
        (
            Options { record_bytes_max: 67_108_865, queue_bytes_max: u64::MAX, ..options() },
            "record_bytes_max is 67108865, it must be from 1 to 67108864",
        ),
    ] {
        check(refused(&FaultDisk::new(), options), expected);
    }
}

#[test]
fn options_are_read_strictly_and_have_defaults() {
    let read: Options = serde_json::from_str(r#"{"linger_ms": 7}"#).unwrap();
    assert_eq!(read, Options { linger_ms: 7, ..Options::default() });
    assert!(serde_json::from_str::<Options>(r#"{"linger": 7}"#).is_err());
}

#[test]
fn files_that_can_not_be_used_are_named() {
    let disk = FaultDisk::new();
    append(&open(&disk).0, b"a").unwrap();
    let whole = disk.contents(&segment(0)).unwrap();
    disk.plant(&segment(3), whole.clone());
    check(refused(&disk, options()), "segment /log/00000000000000000003.log says that it begins at offset 0");
    let mut newer = whole[..28].to_vec();
    newer[8] = 2;
    // CRC-32 of this header, so that only its version is wrong.
    newer.extend(crc(&newer).to_le_bytes());
    disk.plant(&segment(3), newer);
    check(refused(&disk, options()), "segment /log/00000000000000000003.log has version 2, this program reads 1");
}

/// CRC-32 (IEEE), bit by bit: an independent check of what the segments hold.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn a_disk_that_fails_at_opening_is_said_with_what_and_where() {
    const EIO: &str = "Input/output error (os error 5)";
    let segment = "/log/00000000000000000000.log";
    for (op, path, expected) in [
        (Op::Lock, "", format!("cannot lock /log/lock: {EIO}")),
        (Op::List, "", format!("cannot list /log: {EIO}")),
        (Op::Open, "consumer", format!("cannot open /log/consumer-c: {EIO}")),
        (Op::Read, "consumer", format!("cannot read /log/consumer-c: {EIO}")),
        (Op::Open, ".log", format!("cannot open {segment}: {EIO}")),
        (Op::Read, ".log", format!("cannot read {segment}: {EIO}")),
        (Op::Truncate, ".log", format!("cannot cut the torn tail of {segment}: {EIO}")),
        (Op::Write, ".log", format!("cannot write {segment}: {EIO}")),
        (Op::Sync, ".log", format!("cannot sync {segment}: {EIO}")),
    ] {
        let disk = FaultDisk::new();
        let (log, _) = open(&disk);
        append(&log, b"a").unwrap();
        log.consumer("c").unwrap();
        drop(log);
        let torn = [disk.contents(&self::segment(0)).unwrap(), vec![1]].concat();
        disk.plant(&self::segment(0), torn);
        disk.script(Fault::new(op, Effect::Broken).on(path));
        check(refused(&disk, options()), &expected);
        assert!(try_open(&disk, options()).is_ok(), "{op:?}: the lock was given back");
    }
    let disk = FaultDisk::new();
    disk.script(Fault::new(Op::Create, Effect::Full));
    check(refused(&disk, options()), &format!("cannot create {segment}: No space left on device (os error 28)"));
}

#[test]
fn consumers_errors_name_the_consumer_and_the_positions() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    check(log.consumer("a/b").err().unwrap(), r#"a consumer's name is 1 to 64 letters, digits, '-' or '_', not "a/b""#);
    append(&log, b"a").unwrap();
    let consumer = log.consumer("c").unwrap();
    check(consumer.commit(Offset(2)).unwrap_err(), "position 2 is beyond the end of the log at 1");
    consumer.commit(Offset(1)).unwrap();
    check(consumer.commit(Offset(0)).unwrap_err(), "position 0 is before the committed position 1");
    disk.plant(&Path::new(DIR).join("consumer-d"), vec![]);
    log.close();
    check(consumer.commit(Offset(1)).unwrap_err(), "the log is closed");
    check(log.trim().unwrap_err(), "the log is closed");
    drop(log);
    let (log, _) = open(&disk);
    check(log.consumer("d").err().unwrap(), "the position of consumer d in /log/consumer-d is damaged");
}

#[test]
fn a_disk_that_fails_while_reading_is_said() {
    let disk = FaultDisk::new();
    let (log, _) = open(&disk);
    append(&log, b"a").unwrap();
    disk.script(Fault::new(Op::Read, Effect::Broken));
    check(
        log.read(Offset(0), 1).unwrap_err(),
        "cannot read /log/00000000000000000000.log: Input/output error (os error 5)",
    );
    assert_eq!(log.read(Offset(0), 1).unwrap().len(), 1);
}
