//! Tests of the store as a whole, through its public methods; what rows and plans they use is made here.

mod concurrent;
mod crash;
mod damage;
mod delete;
mod disk;
mod oracle;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use protocol::query::Analysis;
use protocol::row::{Cell, Row};
use protocol::{EventId, PropertyPath, Timestamp};
use query::plan::{Plan, Predicate, Shape, Span};

use crate::{Options, Store};

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rivulet-store-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Small enough that a few rows make several segments and several merges.
fn options() -> Options {
    Options { compact_segments_min: 2, flush_days_max: 3, cache_bytes_max: 64 * 1024, ..Options::default() }
}

fn open(folder: &Folder) -> Store {
    Store::open(folder.path(), options()).unwrap()
}

fn path(text: &str) -> PropertyPath {
    text.parse().unwrap()
}

/// The row with this number: one in `p`/`c`, half an hour after the one before.
fn row(number: u64) -> Row {
    let at = Timestamp::from_millis(i64::try_from(number).unwrap() * 1_800_000);
    Row {
        project: "p".parse().unwrap(),
        collection: "c".parse().unwrap(),
        id: EventId::from_bytes(u128::from(number).to_be_bytes()),
        timestamp: at,
        created_at: at.plus_millis(5),
        cells: vec![
            (path("n"), Cell::Int(i64::try_from(number).unwrap())),
            (path("page"), Cell::Text(format!("/{}", number % 7))),
        ],
    }
}

/// Counts all rows of `p`/`c`.
fn plan() -> Plan {
    Plan {
        project: "p".parse().unwrap(),
        collection: "c".parse().unwrap(),
        buckets: vec![Span { start: Timestamp::MIN, end: Timestamp::MAX }],
        filter: Predicate::All(Vec::new()),
        group_by: Vec::new(),
        analysis: Analysis::Count,
        target: None,
        groups_max: 100_000,
        unique_values_max: 1_000_000,
        shape: Shape::default(),
    }
}

/// Runs a plan that has one line at most.
fn value(store: &Store, plan: &Plan) -> Option<Cell> {
    let output = store.execute(plan, &|| false).unwrap();
    assert!(output.lines.len() <= 1);
    output.lines.into_iter().next().map(|line| line.value)
}

fn all_rows(store: &Store, like: &Row) -> Vec<Row> {
    let mut rows = Vec::new();
    let span = Timestamp::MIN..Timestamp::MAX;
    store.rows(&like.project, &like.collection, span, &mut |row| rows.push(row)).unwrap();
    rows
}

/// Names few enough that rows share them.
const PATHS: [&str; 6] = ["a", "b", "c.d", "e", "größe#x", "f"];

/// Values few enough that rows share them, with all the odd ones.
fn cell() -> impl Strategy<Value = Cell> {
    let text = prop::sample::select(vec![
        "",
        "x",
        "xy",
        "1",
        "Ü",
        "1970-01-02T00:00:00Z",
        "1970-01-02T01:00:00+01:00",
        "1970-01-03",
        "\"\\\u{1f600}",
    ]);
    let list = prop::sample::select(vec![
        "[]",
        "{}",
        "[1,1.0,\"x\"]",
        "[null,[1],{\"a\":1}]",
        "[1.5, true ]",
        "[18446744073709551615,\"18446744073709551615\"]",
    ]);
    let float =
        prop::sample::select(vec![0.0, -0.0, 1.0, 1.5, -2.5, 0.1, 1e300, -1e300, 5e-324, 9.007_199_254_740_993e15]);
    prop_oneof![
        1 => Just(Cell::Null),
        1 => any::<bool>().prop_map(Cell::Bool),
        3 => (-2_i64..4).prop_map(Cell::Int),
        1 => prop::sample::select(vec![i64::MIN, i64::MAX, 9_007_199_254_740_993]).prop_map(Cell::Int),
        3 => float.prop_map(Cell::Float),
        5 => text.prop_map(|text| Cell::Text(text.to_owned())),
        2 => list.prop_map(|text| Cell::List(text.to_owned())),
    ]
}

/// Rows of two projects and two collections over some days, their ids given by their place.
fn some_rows(max: usize) -> impl Strategy<Value = Vec<Row>> {
    let properties = prop::collection::vec((0..PATHS.len(), cell()), 0..PATHS.len());
    let one = (prop::bool::weighted(0.9), prop::bool::weighted(0.8), -30_i64..100, 0_i64..100, properties);
    prop::collection::vec(one, 0..max).prop_map(|rows| {
        let make = |(number, (main_project, main_collection, hour, created, properties))| {
            let mut cells: Vec<(PropertyPath, Cell)> = Vec::new();
            for (place, cell) in properties {
                let path = PropertyPath::from_checked(PATHS[place]);
                if cells.iter().all(|(known, _)| *known != path) {
                    cells.push((path, cell));
                }
            }
            Row {
                project: if main_project { "p" } else { "q" }.parse().unwrap(),
                collection: if main_collection { "c" } else { "d d" }.parse().unwrap(),
                id: EventId::from_bytes(u128::try_from(number).unwrap().to_be_bytes()),
                timestamp: Timestamp::from_millis(hour * 3_600_000),
                created_at: Timestamp::from_millis(created * 3_600_000),
                cells,
            }
        };
        rows.into_iter().enumerate().map(make).collect()
    })
}
