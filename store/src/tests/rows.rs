//! What goes in comes out: rows, ids, tallies, schemas.

use proptest::prelude::*;
use protocol::row::{Cell, Row, Tally};
use protocol::{Offset, PropertyPath, Timestamp};

use super::{Folder, all_rows, open, options, path, plan, row, some_rows, value};
use crate::{Options, Store, lock};

fn by_id(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| *row.id.as_bytes());
    rows
}

/// Equality that tells 0.0 from -0.0.
fn exact(rows: &[Row]) -> String {
    format!("{rows:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_back_exactly_from_tail_segments_and_merged_segments(
        rows in some_rows(80),
        columns_max in prop::sample::select(vec![0_usize, 3, 2_000]),
    ) {
        let folder = Folder::new();
        let options = Options { columns_max, ..options() };
        let mut store = Store::open(folder.path(), options.clone()).unwrap();
        for (number, batch) in rows.chunks(20).enumerate() {
            store.append(batch.to_vec(), &[], Offset(u64::try_from(number).unwrap())).unwrap();
            if number % 2 == 0 {
                store.flush().unwrap();
            }
        }
        for round in 0..4 {
            if let Some(like) = rows.first() {
                let of = |row: &&Row| row.project == like.project && row.collection == like.collection;
                let expected: Vec<Row> = rows.iter().filter(of).cloned().collect();
                prop_assert_eq!(exact(&by_id(all_rows(&store, like))), exact(&by_id(expected)), "round {}", round);
            }
            match round {
                0 => { store.flush().unwrap(); }
                1 => { store = { drop(store); Store::open(folder.path(), options.clone()).unwrap() }; }
                _ => while store.compact().unwrap().merged > 0 {},
            }
        }
    }
}

#[test]
fn ids_are_found_again_by_the_time_they_were_created() {
    let folder = Folder::new();
    let store = open(&folder);
    store.append((0..100).map(row).collect(), &[], Offset(1)).unwrap();
    store.flush().unwrap();
    store.append((100..120).map(row).collect(), &[], Offset(2)).unwrap();
    let since = row(90).created_at;
    let mut found = Vec::new();
    store.recent_ids(since, &mut |project, id, at| found.push((project.clone(), id, at))).unwrap();
    found.sort_by_key(|(_, id, _)| *id.as_bytes());
    let expected: Vec<_> = (90..120).map(row).map(|row| (row.project, row.id, row.created_at)).collect();
    assert_eq!(found, expected);
}

#[test]
fn tallies_and_the_offset_are_committed_with_the_rows() {
    let folder = Folder::new();
    let project = row(0).project;
    let tally = Tally { stored: 3, duplicates: 2, quarantined: 1, deleted: 0 };
    let store = open(&folder);
    store.append((0..3).map(row).collect(), &[(project.clone(), tally)], Offset(6)).unwrap();
    assert_eq!((store.committed(), store.tally(&project)), (Offset(0), tally));
    assert_eq!(store.flush().unwrap(), Offset(6));
    store.append(vec![row(4)], &[(project.clone(), Tally { stored: 1, ..Tally::default() })], Offset(7)).unwrap();
    assert_eq!(store.tally(&project).stored, 4);
    drop(store); // a crash: the tail is lost, the log has it
    let store = open(&folder);
    assert_eq!((store.committed(), store.tally(&project)), (Offset(6), tally));
    assert_eq!(value(&store, &plan()), Some(Cell::Int(3)));
    // Records that made no rows are committed too.
    store.append(Vec::new(), &[(project.clone(), Tally { duplicates: 1, ..Tally::default() })], Offset(8)).unwrap();
    assert_eq!(store.flush().unwrap(), Offset(8));
    drop(store);
    assert_eq!(open(&folder).tally(&project).duplicates, 3);
}

#[test]
fn a_flush_is_due_by_size_or_by_waiting() {
    let folder = Folder::new();
    let store = Store::open(folder.path(), Options { tail_rows_max: 10, flush_after_ms: 500, ..options() }).unwrap();
    let at = |ms| Timestamp::from_millis(ms);
    assert!(!store.flush_due(at(0)));
    store.append(vec![row(0)], &[], Offset(1)).unwrap();
    assert_eq!((store.tail().rows, store.tail().oldest_ms), (1, Some(5)));
    assert!(!store.flush_due(at(10_000)), "it waits since now");
    assert!(!store.flush_due(at(10_499)));
    assert!(store.flush_due(at(10_500)));
    store.flush().unwrap();
    assert!(!store.flush_due(at(20_000)), "nothing waits");
    store.append((0..10).map(row).collect(), &[], Offset(2)).unwrap();
    assert!(store.flush_due(at(20_000)));
}

#[test]
fn a_property_has_the_type_of_its_first_value() {
    let folder = Folder::new();
    let store = open(&folder);
    let with = |number, cells: Vec<(&str, Cell)>| Row {
        cells: cells.into_iter().map(|(text, cell)| (path(text), cell)).collect(),
        ..row(number)
    };
    let text = |text: &str| Cell::Text(text.to_owned());
    let rows = vec![
        with(0, vec![("n", Cell::Int(1)), ("later", Cell::Null), ("only", Cell::Null)]),
        with(1, vec![("n", text("x")), ("later", Cell::Bool(true)), ("at", text("2020-01-01T00:00:00Z"))]),
        with(
            2,
            vec![("keen.location.coordinates", Cell::List("[1,2]".to_owned())), ("l", Cell::List("[]".to_owned()))],
        ),
    ];
    store.append(rows, &[], Offset(1)).unwrap();
    let expected = [
        ("keen.id", "string"),
        ("keen.timestamp", "datetime"),
        ("keen.created_at", "datetime"),
        ("n", "num"),
        ("later", "bool"),
        ("only", "null"),
        ("at", "datetime"),
        ("keen.location.coordinates", "geo"),
        ("l", "array"),
    ];
    let expected = expected.map(|(text, kind)| (path(text), kind)).to_vec();
    let project = row(0).project;
    assert_eq!(store.collections(&project), [(row(0).collection, expected.clone())]);
    store.flush().unwrap();
    drop(store);
    assert_eq!(open(&folder).collections(&project), [(row(0).collection, expected)]);
    assert_eq!(open(&folder).collections(&"other".parse().unwrap()), []);
}

/// A sender that makes up names costs rows, not columns.
#[test]
fn names_beyond_the_cap_make_no_columns() {
    let folder = Folder::new();
    let store = Store::open(folder.path(), Options { columns_max: 50, ..options() }).unwrap();
    let rows: Vec<Row> = (0..3_000_u64)
        .map(|number| {
            let name = |at: u64| PropertyPath::from_checked(&format!("name{}", (number * 5 + at) % 9_000));
            Row { cells: (0..5).map(|at| (name(at), Cell::Int(1))).collect(), ..row(number) }
        })
        .collect();
    store.append(rows.clone(), &[], Offset(1)).unwrap();
    store.flush().unwrap();
    let segments = lock(&store.state).segments.clone();
    assert!(segments.iter().all(|segment| segment.names().unwrap().len() <= 5 + 50));
    assert_eq!(exact(&by_id(all_rows(&store, &rows[0]))), exact(&by_id(rows)));
    assert_eq!(store.collections(&row(0).project)[0].1.len(), 3 + 50);
}

#[test]
fn late_rows_of_many_days_make_few_files() {
    let folder = Folder::new();
    let store = Store::open(folder.path(), Options { flush_days_max: 8, ..options() }).unwrap();
    store.append((0..48 * 365).map(row).collect(), &[], Offset(1)).unwrap();
    store.flush().unwrap();
    assert!(store.segments().0 <= 8, "{}", store.segments().0);
    assert_eq!(value(&store, &plan()), Some(Cell::Int(48 * 365)));
}
