//! Damage to files shows as an error that names the file, never as a panic or a wrong answer.

use std::fs;
use std::path::PathBuf;

use protocol::row::Cell;
use protocol::{Offset, Timestamp};
use query::plan::{Plan, Span};

use super::{Folder, open, options, plan, row, value};
use crate::{Options, Store, StoreError};

/// Two days in two segments.
fn filled() -> Folder {
    let folder = Folder::new();
    let store = open(&folder);
    store.append((0..96).map(row).collect(), &[], Offset(96)).unwrap();
    store.flush().unwrap();
    assert_eq!(store.segments().0, 2);
    folder
}

fn first_segment(folder: &Folder) -> PathBuf {
    folder.path().join("segments").join("000000000000.parquet")
}

#[test]
fn a_damaged_segment_is_reported_and_only_queries_that_need_it_fail() {
    type Damage = fn(&PathBuf);
    let damages: [(&str, Damage); 3] = [
        ("a bit", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[100] ^= 4;
            fs::write(path, bytes).unwrap();
        }),
        ("the end", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 9]).unwrap();
        }),
        ("all", |path| fs::remove_file(path).unwrap()),
    ];
    for (what, damage) in damages {
        for verify_bytes_max in [0, u64::MAX] {
            let folder = filled();
            damage(&first_segment(&folder));
            let store = Store::open(folder.path(), Options { verify_bytes_max, ..options() }).unwrap();
            assert_eq!(store.recovery().damaged.len(), usize::from(verify_bytes_max > 0), "{what}");
            let hourly = Plan { group_by: vec!["page".parse().unwrap()], ..plan() };
            let error = store.execute(&hourly, &|| false).unwrap_err();
            assert!(matches!(&error, StoreError::Damaged { rows: 48, .. }), "{what}: {error}");
            assert_eq!(error.code(), protocol::ErrorCode::Internal);
            assert_eq!(store.damaged().len(), 1, "{what}");
            let day = Span { start: Timestamp::from_millis(86_400_000), end: Timestamp::MAX };
            assert_eq!(value(&store, &Plan { buckets: vec![day], ..plan() }), Some(Cell::Int(48)), "{what}");
            let mut ids = 0;
            assert!(store.recent_ids(Timestamp::MIN, &mut |_, _, _| ids += 1).is_err(), "{what}");
            assert_eq!(ids, 48, "{what}");
            drop(store);
            let store = Store::open(folder.path(), Options { skip_damaged: true, ..options() }).unwrap();
            assert_eq!(store.execute(&hourly, &|| false).unwrap().events_scanned, 48, "{what}");
            store.append(vec![row(1)], &[], Offset(97)).unwrap();
            store.flush().unwrap();
        }
    }
}

#[test]
fn a_damaged_or_lost_manifest_stops_the_start_and_nothing_is_touched() {
    for damage in [true, false] {
        let folder = filled();
        let manifest = folder.path().join("manifest");
        if damage {
            let mut bytes = fs::read(&manifest).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(&manifest, bytes).unwrap();
        } else {
            fs::remove_file(&manifest).unwrap();
        }
        let error = Store::open(folder.path(), options()).unwrap_err();
        assert!(matches!(error, StoreError::Manifest { .. }), "{error}");
        assert!(first_segment(&folder).exists());
    }
}

#[test]
fn files_that_the_manifest_does_not_name_are_moved_aside() {
    let folder = filled();
    for _ in 0..2 {
        let orphan = folder.path().join("segments").join("000000000002.parquet");
        fs::write(&orphan, b"half a segm").unwrap();
        let store = open(&folder);
        assert_eq!(store.recovery().orphans.len(), 1);
        assert!(!orphan.exists());
        assert_eq!(value(&store, &plan()), Some(Cell::Int(96)));
    }
    assert_eq!(fs::read_dir(folder.path().join("orphans")).unwrap().count(), 2);
}

#[test]
fn a_folder_is_open_once() {
    let folder = Folder::new();
    let store = open(&folder);
    assert!(matches!(Store::open(folder.path(), options()), Err(StoreError::InUse { .. })));
    drop(store);
    open(&folder);
}
