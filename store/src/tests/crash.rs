//! A fault at every step of writing: rows and offset agree before and after, and nothing is lost or counted twice.

use std::sync::Arc;

use protocol::Offset;
use protocol::row::Cell;
use protocol::row::Tally;

use super::disk::{Fault, FaultFiles};
use super::{Folder, all_rows, options, plan, row, value};
use crate::{Store, StoreError};

const ROWS: u64 = 24;

/// Appends rows one record each from `from`, with flushes and merges between. Goes on after errors, as a server does.
fn work(store: &Store, from: u64) -> Result<(), StoreError> {
    let mut result = Ok(());
    for number in from..ROWS {
        let tally = [(row(number).project, Tally { stored: 1, ..Tally::default() })];
        store.append(vec![row(number)], &tally, Offset(number + 1)).unwrap();
        if number % 4 == 3 {
            result = result.and(store.flush().map(drop));
        }
        if number % 8 == 7 {
            result = result.and(store.compact().map(drop));
        }
    }
    result
}

/// The rows of a store that was just opened are those of the records before its offset, each once.
#[track_caller]
fn agrees(store: &Store, note: &str) -> u64 {
    assert_eq!(store.recovery().damaged, [], "{note}");
    let Offset(committed) = store.committed();
    let mut ids: Vec<u128> =
        all_rows(store, &row(0)).iter().map(|row| u128::from_be_bytes(*row.id.as_bytes())).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..u128::from(committed)).collect::<Vec<_>>(), "{note}");
    let count = i64::try_from(committed).unwrap();
    assert_eq!(value(store, &plan()), (count > 0).then_some(Cell::Int(count)), "{note}");
    assert_eq!(store.tally(&row(0).project).stored, committed, "{note}");
    committed
}

fn every_step(fault: Fault) {
    for step in 0.. {
        let folder = Folder::new();
        let note = format!("{fault:?} at step {step}");
        let files = FaultFiles::new(fault, step);
        let mut in_process = 0;
        if let Ok(store) = Store::open_on(Arc::new(files.clone()), folder.path(), options()) {
            let result = work(&store, 0);
            assert_eq!(value(&store, &plan()), Some(Cell::Int(i64::try_from(ROWS).unwrap())), "{note}");
            if fault == Fault::Error && !matches!(result, Err(StoreError::CommitUnknown)) {
                assert_eq!(store.flush().unwrap(), Offset(ROWS), "{note}");
                in_process = ROWS;
            }
        }
        let store = Store::open(folder.path(), options()).unwrap();
        let committed = agrees(&store, &note);
        assert!(committed >= in_process, "{note}");
        work(&store, committed).unwrap();
        store.flush().unwrap();
        drop(store);
        let store = Store::open(folder.path(), options()).unwrap();
        assert_eq!(agrees(&store, &note), ROWS, "{note}");
        if !files.struck() {
            assert!(step > 60, "the work took only {step} steps");
            return;
        }
    }
}

#[test]
fn a_kill_at_any_step_leaves_rows_and_offset_in_agreement() {
    every_step(Fault::Kill);
}

#[test]
fn a_power_cut_at_any_step_leaves_rows_and_offset_in_agreement() {
    every_step(Fault::PowerCut);
}

#[test]
fn an_error_at_any_step_loses_nothing_and_work_goes_on() {
    every_step(Fault::Error);
}
