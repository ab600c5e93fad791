//! What is deleted is gone from queries, rows and descriptions, and only that; a fault at any step leaves all of it or
//! none.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use protocol::row::{Cell, Row, Tally};
use protocol::{Offset, Timestamp};
use query::plan::{Plan, Predicate, Span, Test};

use super::disk::{Fault, FaultFiles};
use super::{Folder, PATHS, all_rows, open, options, path, plan, row, some_rows, value};
use crate::delete::is_within;
use crate::{Deletion, Options, Store, StoreError};

const NOW: Timestamp = Timestamp::from_millis(100 * 3_600_000);

fn delete(store: &Store, like: &Row, what: Deletion<'_>) -> Result<u64, StoreError> {
    store.delete(&like.project, &like.collection, what, NOW).map(|deleted| deleted.rows)
}

fn text(rows: &[Row]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

/// Everything but some hours, and a property equal to a value.
fn chosen(like: &Row, hours: (i64, i64), value: Cell) -> Plan {
    let at = |hour: i64| Timestamp::from_millis(hour * 3_600_000);
    Plan {
        project: like.project.clone(),
        collection: like.collection.clone(),
        buckets: vec![Span { start: at(hours.0), end: at(hours.1) }],
        filter: Predicate::All(vec![Predicate::Test { path: path("a"), test: Test::Equals(value) }]),
        ..plan()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_left_is_exactly_what_was_not_chosen(
        rows in some_rows(80),
        columns_max in prop::sample::select(vec![0_usize, 3, 2_000]),
        hours in (-40_i64..60, 0_i64..60),
        value in prop::sample::select(vec![Cell::Int(1), Cell::Text("x".to_owned()), Cell::Null]),
        gone in prop::sample::select(PATHS.to_vec()),
    ) {
        let Some(like) = rows.first() else { return Ok(()) };
        let folder = Folder::new();
        let options = Options { columns_max, ..options() };
        let mut store = Store::open(folder.path(), options.clone()).unwrap();
        for (number, batch) in rows.chunks(20).enumerate() {
            store.append(batch.to_vec(), &[], Offset(u64::try_from(number).unwrap())).unwrap();
            if number % 2 == 0 {
                store.flush().unwrap();
            }
        }
        let plan = chosen(like, (hours.0, hours.0 + hours.1), value);
        let mine = |row: &Row| row.project == like.project && row.collection == like.collection;
        let span = &plan.buckets[0];
        let goes = |row: &Row| {
            mine(row)
                && (span.start..span.end).contains(&row.timestamp)
                && query::matches(&plan.filter, &|path| query::naive::property(row, path))
        };
        let expected: Vec<Row> = rows.iter().filter(|row| !goes(row)).cloned().collect();
        let count = u64::try_from(rows.len() - expected.len()).unwrap();
        prop_assert_eq!(delete(&store, like, Deletion::Matching(&plan)).unwrap(), count);
        let root = path(gone.split('.').next().unwrap());
        delete(&store, like, Deletion::Property(&root)).unwrap();
        let expected: Vec<Row> = expected
            .into_iter()
            .map(|row| {
                let cells = row.cells.iter().filter(|(path, _)| !mine(&row) || !is_within(path, &root));
                Row { cells: cells.cloned().collect(), ..row.clone() }
            })
            .collect();
        for round in 0..3 {
            for other in &rows {
                let of = |row: &&Row| row.project == other.project && row.collection == other.collection;
                let expected: Vec<Row> = expected.iter().filter(of).cloned().collect();
                prop_assert_eq!(text(&all_rows(&store, other)), text(&expected), "round {}", round);
            }
            for (collection, properties) in store.collections(&like.project) {
                let shown = properties.iter().any(|(path, _)| is_within(path, &root));
                prop_assert!(collection != like.collection || !shown, "{:?}", properties);
            }
            match round {
                0 => while store.compact().unwrap().merged > 0 {},
                _ => store = { drop(store); Store::open(folder.path(), options.clone()).unwrap() },
            }
        }
        prop_assert_eq!(store.recovery().orphans.len(), 0);
    }
}

#[test]
fn a_deleted_collection_is_unknown_until_rows_come_again() {
    let folder = Folder::new();
    let store = open(&folder);
    store.append((0..50).map(row).collect(), &[], Offset(1)).unwrap();
    assert_eq!(delete(&store, &row(0), Deletion::Collection).unwrap(), 50);
    assert_eq!((store.collections(&row(0).project), value(&store, &plan())), (vec![], None));
    assert_eq!(store.tally(&row(0).project).deleted, 50);
    assert_eq!(store.standings().1[&row(0).project].rows, 0);
    let text = Row { cells: vec![(path("n"), Cell::Text("x".to_owned()))], ..row(60) };
    store.append(vec![text], &[], Offset(2)).unwrap();
    let described = store.collections(&row(0).project);
    assert_eq!(described[0].1.last().unwrap(), &(path("n"), "string"), "its type is that of the new first value");
    assert_eq!(delete(&store, &row(0), Deletion::Collection).unwrap(), 1);
    drop(store);
    assert_eq!(open(&folder).collections(&row(0).project), []);
}

#[test]
fn ids_of_deleted_rows_are_remembered_as_long_as_repeats_are_recognised() {
    let folder = Folder::new();
    let store = open(&folder);
    let recent = |store: &Store| {
        let mut ids = BTreeSet::new();
        store
            .recent_ids(Timestamp::MIN, &mut |_, id, _| {
                ids.insert(id);
            })
            .unwrap();
        ids
    };
    for number in 0..20 {
        store.append(vec![row(number)], &[], Offset(number + 1)).unwrap();
        delete(&store, &row(0), Deletion::Collection).unwrap();
    }
    assert_eq!(recent(&store).len(), 20);
    assert!(crate::lock(&store.manifest).graves.len() < 20, "they are merged");
    drop(store);
    let store = open(&folder);
    assert_eq!((store.recovery().orphans.len(), recent(&store).len()), (0, 20));
    let later = NOW.plus_millis(40 * 86_400_000);
    store.append(vec![row(30)], &[], Offset(21)).unwrap();
    store.delete(&row(0).project, &row(0).collection, Deletion::Collection, later).unwrap();
    assert_eq!(recent(&store).len(), 0);
}

/// Deletes the odd rows, then a property, then everything else, with flushes between.
fn work(store: &Store, done: u64) -> Result<(), StoreError> {
    for number in done..12 {
        let tally = [(row(number).project, Tally { stored: 1, ..Tally::default() })];
        store.append(vec![row(number)], &tally, Offset(number + 1))?;
        if number % 4 == 3 {
            store.flush()?;
        }
    }
    let page = path("page");
    let odd = |n: i64| Predicate::Test { path: path("n"), test: Test::Equals(Cell::Int(n)) };
    let filter = Predicate::Any((0..12).filter(|n| n % 2 == 1).map(odd).collect());
    delete(store, &row(0), Deletion::Matching(&Plan { filter, ..plan() }))?;
    assert_eq!(all_rows(store, &row(0)).len(), 6);
    delete(store, &row(0), Deletion::Property(&page))?;
    assert!(all_rows(store, &row(0)).iter().all(|row| row.cells.len() == 1));
    delete(store, &row(0), Deletion::Collection).map(drop)
}

fn every_step(fault: Fault) {
    for step in 0.. {
        let folder = Folder::new();
        let note = format!("{fault:?} at step {step}");
        let files = FaultFiles::new(fault, step);
        let mut ended = Err(StoreError::CommitUnknown);
        if let Ok(store) = Store::open_on(Arc::new(files.clone()), folder.path(), options()) {
            ended = work(&store, 0);
        }
        let store = Store::open(folder.path(), options()).unwrap();
        assert_eq!(store.recovery().damaged, [], "{note}");
        let standing = store.standings().1.get(&row(0).project).copied().unwrap_or_default();
        assert_eq!(standing.rows + standing.tally.deleted, standing.tally.stored, "{note}");
        let rows = all_rows(&store, &row(0));
        assert_eq!(u64::try_from(rows.len()).unwrap(), standing.rows, "{note}");
        let with_page = rows.iter().filter(|row| row.cells.len() == 2).count();
        assert!(with_page == 0 || with_page == rows.len(), "{note}: a property is gone from all rows or from none");
        if ended.is_ok() {
            assert_eq!((rows.len(), store.collections(&row(0).project)), (0, vec![]), "{note}");
        }
        let mut ids = BTreeSet::new();
        store
            .recent_ids(Timestamp::MIN, &mut |_, id, _| {
                ids.insert(id);
            })
            .unwrap();
        assert_eq!(u64::try_from(ids.len()).unwrap(), standing.tally.stored, "{note}");
        // And what is left can be deleted after all; no file of what was is left then.
        delete(&store, &row(0), Deletion::Collection).unwrap();
        assert_eq!(all_rows(&store, &row(0)).len(), 0, "{note}");
        if !files.struck() {
            assert!(step > 60, "the work took only {step} steps");
            return;
        }
    }
}

#[test]
fn a_kill_at_any_step_leaves_a_deletion_done_or_not_begun() {
    every_step(Fault::Kill);
}

#[test]
fn a_power_cut_at_any_step_leaves_a_deletion_done_or_not_begun() {
    every_step(Fault::PowerCut);
}

#[test]
fn an_error_at_any_step_leaves_a_deletion_done_or_not_begun() {
    every_step(Fault::Error);
}
