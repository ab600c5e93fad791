//! Readers, appends, flushes and compactions at the same time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use protocol::query::Analysis;
use protocol::row::Cell;
use protocol::{Offset, Timestamp};
use query::plan::Plan;

use super::{Folder, open, plan, row, value};

#[test]
fn queries_see_every_appended_row_once_while_everything_moves() {
    const ROWS: u64 = 6_000;
    let folder = Folder::new();
    let store = open(&folder);
    let (appended, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let ids = Plan { analysis: Analysis::CountUnique, target: Some("keen.id".parse().unwrap()), ..plan() };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for start in (0..ROWS).step_by(60) {
                let rows = (start..start + 60).map(|number| {
                    let mut row = row(number);
                    row.timestamp = Timestamp::from_millis(i64::try_from(number % 100).unwrap() * 1_800_000);
                    row
                });
                store.append(rows.collect(), &[], Offset(start + 60)).unwrap();
                appended.store(start + 60, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                store.flush().unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                store.compact().unwrap();
                std::thread::yield_now();
            }
        });
        for plan in [plan(), ids.clone()] {
            let (store, appended, done) = (&store, &appended, &done);
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::SeqCst) {
                    let least = appended.load(Ordering::SeqCst);
                    let seen = match value(store, &plan) {
                        Some(Cell::Int(seen)) => u64::try_from(seen).unwrap(),
                        _ => 0,
                    };
                    assert!(seen >= least && seen >= last && seen % 60 == 0, "{seen} of {least}, before {last}");
                    last = seen;
                }
            });
        }
    });
    store.flush().unwrap();
    while store.compact().unwrap().merged > 0 {}
    for plan in [plan(), ids] {
        assert_eq!(value(&store, &plan), Some(Cell::Int(i64::try_from(ROWS).unwrap())));
    }
    let files = std::fs::read_dir(folder.path().join("segments")).unwrap().count();
    assert_eq!(files, store.segments().0, "files of merged segments are gone");
}

#[test]
fn a_reader_keeps_the_files_that_a_compaction_replaced() {
    let folder = Folder::new();
    let store = open(&folder);
    for number in 0..4 {
        store.append(vec![row(number)], &[], Offset(number + 1)).unwrap();
        store.flush().unwrap();
    }
    let files = || std::fs::read_dir(folder.path().join("segments")).unwrap().count();
    let sources = store.sources(&(row(0).project, row(0).collection));
    assert_eq!(store.compact().unwrap().merged, 4);
    assert_eq!(files(), 5);
    for source in &sources {
        assert!(source.column(&crate::column::Name::Id).unwrap().is_some());
    }
    drop(sources);
    assert_eq!(files(), 1);
}
