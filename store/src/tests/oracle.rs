//! The heart of the tests: whatever rows came, wherever they are by now and whatever is asked, the store answers as
//! `query::naive` does.

use proptest::prelude::*;
use protocol::query::Analysis;
use protocol::row::{Cell, Row};
use protocol::{Offset, PropertyPath, Timestamp};
use query::naive;
use query::plan::{Line, Output, Plan, Predicate, Span, Test};

use super::{Folder, PATHS, cell, options, plan, row, some_rows, value};
use crate::{Options, Store, lock};

/// What happens to the store after some rows were appended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Nothing,
    Seal,
    Flush,
    FlushAndReopen,
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    prop::sample::select(vec![Step::Nothing, Step::Seal, Step::Flush, Step::Flush, Step::FlushAndReopen, Step::Compact])
}

fn property() -> impl Strategy<Value = PropertyPath> {
    let own = ["keen.id", "keen.timestamp", "keen.created_at", "unheard.of"];
    let all: Vec<&str> = PATHS.iter().chain(PATHS.iter()).chain(own.iter()).copied().collect();
    prop::sample::select(all).prop_map(PropertyPath::from_checked)
}

/// A filter's value: sometimes one that fits the row's own properties.
fn wanted() -> impl Strategy<Value = Cell> {
    let own = prop::sample::select(vec![
        "00000000000000000000000000000003",
        "1970-01-01T05:00:00.000Z",
        "1970-01-02T00:30:00Z",
        "1970-01-0",
        "T0",
    ]);
    prop_oneof![4 => cell(), 1 => own.prop_map(|text| Cell::Text(text.to_owned()))]
}

fn test() -> impl Strategy<Value = Test> {
    prop_oneof![
        wanted().prop_map(Test::Equals),
        wanted().prop_map(Test::Less),
        wanted().prop_map(Test::LessOrEqual),
        wanted().prop_map(Test::Greater),
        wanted().prop_map(Test::GreaterOrEqual),
        Just(Test::Exists),
        prop::collection::vec(wanted(), 0..3).prop_map(Test::In),
        wanted().prop_map(Test::Contains),
    ]
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let leaf = (property(), test()).prop_map(|(path, test)| Predicate::Test { path, test });
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Any),
            inner.prop_map(|other| Predicate::Not(Box::new(other))),
        ]
    })
}

fn some_plan() -> impl Strategy<Value = Plan> {
    let filter = prop_oneof![1 => Just(Predicate::All(Vec::new())), 2 => predicate()];
    let analysis = prop::sample::select(Analysis::ALL.iter().map(|(analysis, _)| *analysis).collect::<Vec<_>>());
    let max = prop_oneof![4 => Just(1_000_usize), 1 => 0_usize..6];
    let group_by = prop::collection::vec(property(), 0..4);
    let bounds = prop::collection::btree_set(-40_i64..110, 2..8);
    (bounds, filter, group_by, analysis, property(), max.clone(), max).prop_map(
        |(bounds, filter, group_by, analysis, target, groups_max, unique_values_max)| {
            let times: Vec<Timestamp> =
                bounds.into_iter().map(|hour| Timestamp::from_millis(hour * 3_600_000)).collect();
            Plan {
                buckets: times.windows(2).map(|pair| Span { start: pair[0], end: pair[1] }).collect(),
                filter,
                group_by,
                analysis,
                target: (analysis != Analysis::Count).then_some(target),
                groups_max,
                unique_values_max,
                ..plan()
            }
        },
    )
}

/// Lines in an order of their own, to compare.
fn sorted(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by_key(|line| (line.bucket, format!("{:?}", line.group)));
    lines
}

/// How far a float may be off: sums round differently in another order.
fn tolerance(plan: &Plan, rows: &[Row]) -> f64 {
    let Some(target) = &plan.target else { return 0.0 };
    let numbers = rows.iter().filter_map(|row| match naive::property(row, target).as_deref() {
        Some(Cell::Int(int)) => Some(*int as f64),
        Some(Cell::Float(float)) => Some(*float),
        _ => None,
    });
    numbers.map(f64::abs).fold(0.0, |sum, number| (sum + number * 1e-12).min(f64::MAX))
}

#[track_caller]
fn same(found: Output, expected: Output, tolerance: f64) {
    assert_eq!(found.events_scanned, expected.events_scanned);
    let (found, expected) = (sorted(found.lines), sorted(expected.lines));
    assert_eq!(found.len(), expected.len(), "{found:?}\n{expected:?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.bucket, &found.group), (expected.bucket, &expected.group));
        match (&found.value, &expected.value) {
            (Cell::Float(found), Cell::Float(expected)) if (found - expected).abs() <= tolerance => {}
            (found, expected) => assert_eq!(found, expected),
        }
    }
}

fn check(store: &Store, plan: &Plan, rows: &[Row]) {
    match (store.execute(plan, &|| false), naive::run(plan, rows)) {
        (Ok(found), Ok(expected)) => same(found, expected, tolerance(plan, rows)),
        (Err(found), Err(expected)) => assert_eq!(found.code(), expected.code),
        (found, expected) => panic!("{found:?}\n{expected:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_the_naive_evaluation_does(
        rows in some_rows(120),
        steps in prop::collection::vec((0_usize..40, step()), 0..6),
        plans in prop::collection::vec(some_plan(), 1..12),
        columns_max in prop::sample::select(vec![0_usize, 2, 2_000]),
    ) {
        let folder = Folder::new();
        let options = Options { columns_max, ..options() };
        let mut store = Store::open(folder.path(), options.clone()).unwrap();
        let mut rest = rows.as_slice();
        let mut offset = Offset(0);
        for (take, step) in steps.into_iter().chain([(rows.len(), Step::Nothing)]) {
            let (now, later) = rest.split_at(take.min(rest.len()));
            rest = later;
            offset = offset.next();
            store.append(now.to_vec(), &[], offset).unwrap();
            match step {
                Step::Nothing => {}
                Step::Seal => {
                    let owners: Vec<_> = lock(&store.state).tails.keys().cloned().collect();
                    owners.iter().for_each(|owner| store.seal(owner));
                }
                Step::Flush => prop_assert_eq!(store.flush().unwrap(), offset),
                Step::FlushAndReopen => {
                    store.flush().unwrap();
                    drop(store);
                    store = Store::open(folder.path(), options.clone()).unwrap();
                    prop_assert_eq!(store.committed(), offset);
                    prop_assert_eq!(&store.recovery().orphans, &Vec::<String>::new());
                }
                Step::Compact => while store.compact().unwrap().merged > 0 {},
            }
            let so_far = &rows[..rows.len() - rest.len()];
            for plan in plans.iter().take(3) {
                check(&store, plan, so_far);
            }
        }
        for plan in &plans {
            check(&store, plan, &rows);
        }
    }
}

/// Rows beyond a block and a batch, with a property that few have and one that many values have.
fn many_rows() -> Vec<Row> {
    (0..20_000_u64)
        .map(|number| {
            let mut row = row(number);
            row.timestamp = Timestamp::from_millis(i64::try_from(number * 7_919 % 20_000).unwrap() * 40_000);
            row.cells.push(("user".parse().unwrap(), Cell::Text(format!("u{}", number * number % 3_001))));
            row.cells.push(("price".parse().unwrap(), Cell::Float((number % 1_000) as f64 / 8.0)));
            if number % 500 == 0 {
                row.cells.insert(1, ("rare".parse().unwrap(), Cell::Int(i64::try_from(number % 3).unwrap())));
            }
            row
        })
        .collect()
}

/// What the naive evaluation would take minutes for is known from how the rows are made.
#[test]
fn blocks_batches_segments_and_rare_properties_give_one_answer() {
    let folder = Folder::new();
    let store = Store::open(folder.path(), Options { flush_days_max: 64, ..options() }).unwrap();
    let rows = many_rows();
    let (early, late) = rows.split_at(12_000);
    store.append(early.to_vec(), &[], Offset(1)).unwrap();
    store.flush().unwrap();
    for (number, batch) in late.chunks(700).enumerate() {
        store.append(batch.to_vec(), &[], Offset(2 + u64::try_from(number).unwrap())).unwrap();
    }
    let unique = Plan { analysis: Analysis::CountUnique, target: Some("user".parse().unwrap()), ..plan() };
    let users: std::collections::BTreeSet<u64> = (0..20_000).map(|number| number * number % 3_001).collect();
    let sum = Plan { analysis: Analysis::Sum, target: Some("price".parse().unwrap()), ..plan() };
    let rare = Predicate::Test { path: "rare".parse().unwrap(), test: Test::Exists };
    let by_rare = Plan { group_by: vec!["rare".parse().unwrap(), "page".parse().unwrap()], filter: rare, ..plan() };
    let expected = naive::run(&by_rare, &rows).unwrap();
    for round in 0..3 {
        assert_eq!(value(&store, &plan()), Some(Cell::Int(20_000)), "round {round}");
        assert_eq!(value(&store, &unique), Some(Cell::Int(i64::try_from(users.len()).unwrap())), "round {round}");
        assert_eq!(value(&store, &sum), Some(Cell::Float(20.0 * 999.0 * 1_000.0 / 2.0 / 8.0)), "round {round}");
        same(store.execute(&by_rare, &|| false).unwrap(), expected.clone(), 0.0);
        match round {
            0 => drop(store.flush().unwrap()),
            _ => assert!(store.compact().unwrap().merged > 0),
        }
    }
}

#[test]
fn sums_of_floats_lose_nothing_to_the_order_of_rows() {
    let folder = Folder::new();
    let store = super::open(&folder);
    let rows = [1e16, 1.0, -1e16].into_iter().enumerate().map(|(number, price)| {
        let mut row = row(u64::try_from(number).unwrap());
        row.cells = vec![("price".parse().unwrap(), Cell::Float(price))];
        row
    });
    store.append(rows.collect(), &[], Offset(1)).unwrap();
    let sum = Plan { analysis: Analysis::Sum, target: Some("price".parse().unwrap()), ..plan() };
    assert_eq!(value(&store, &sum), Some(Cell::Float(1.0)));
}

#[test]
fn a_query_stops_when_told() {
    let folder = Folder::new();
    let store = super::open(&folder);
    store.append((0..10).map(row).collect(), &[], Offset(1)).unwrap();
    let stopped = store.execute(&plan(), &|| true).unwrap_err();
    assert_eq!(stopped.code(), protocol::ErrorCode::QueryTimeout);
}
