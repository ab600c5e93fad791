//! A store's output in Keen's shape.
//!
//! Apart from the plan because stores never see it. It fills in what stores leave out (buckets and groups without
//! rows), orders, cuts and prints; it computes nothing.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use protocol::answer::{Answer, Bucket, QueryResult, Timeframe};
use protocol::query::Analysis;
use protocol::row::Cell;
use serde_json::{Map, Value};

use crate::plan::{Order, OrderBy, Output, Plan};
use crate::planner::RESULT;
use crate::value;

/// One row of an answer: the group's values and the computed one.
type Row<'a> = (&'a [Cell], Cow<'a, Cell>);

/// A group as the key of a map, in the order of an answer.
#[derive(PartialEq)]
struct GroupKey<'a>(&'a [Cell]);

/// What `output` answers to `plan`. Lines of buckets that the plan doesn't have are left out.
///
/// With an interval, a group that appears in one bucket appears in all of them, unless the rows are ordered or cut:
/// then each bucket has its own. Rows without an order ascend by their groups, null last; equal rows too.
#[must_use]
pub fn answer(plan: &Plan, output: &Output) -> Answer {
    let shape = &plan.shape;
    let empty = empty(plan.analysis);
    let mut buckets: Vec<BTreeMap<GroupKey<'_>, Cow<'_, Cell>>> =
        plan.buckets.iter().map(|_| BTreeMap::new()).collect();
    for line in &output.lines {
        if let Some(bucket) = buckets.get_mut(line.bucket) {
            // No usable value in the group is the same as no row.
            let value = if line.value == Cell::Null { Cow::Owned(empty.clone()) } else { Cow::Borrowed(&line.value) };
            bucket.insert(GroupKey(&line.group), value);
        }
    }
    if plan.group_by.is_empty() {
        let mut values = buckets.into_iter().map(|mut bucket| {
            value::to_json(&bucket.pop_first().map_or_else(|| empty.clone(), |(_, value)| value.into_owned()))
        });
        let result = if shape.by_interval {
            by_interval(plan, values)
        } else {
            QueryResult::Value(values.next().unwrap_or(Value::Null))
        };
        return Answer { result };
    }
    let own = !shape.order_by.is_empty() || shape.limit.is_some();
    let everywhere: BTreeMap<GroupKey<'_>, ()> = match own {
        true => BTreeMap::new(),
        false => output.lines.iter().map(|line| (GroupKey(&line.group), ())).collect(),
    };
    let mut tables = buckets.into_iter().map(|mut bucket| {
        for group in everywhere.keys() {
            bucket.entry(GroupKey(group.0)).or_insert_with(|| Cow::Owned(empty.clone()));
        }
        rows(plan, bucket.into_iter().map(|(group, value)| (group.0, value)).collect())
    });
    let result = if shape.by_interval {
        by_interval(plan, tables.map(|rows| rows.into_iter().map(Value::Object).collect()))
    } else {
        QueryResult::Groups(tables.next().unwrap_or_default())
    };
    Answer { result }
}

/// The value of nothing.
fn empty(analysis: Analysis) -> Cell {
    match analysis {
        Analysis::Count | Analysis::CountUnique | Analysis::Sum => Cell::Int(0),
        Analysis::Average | Analysis::Minimum | Analysis::Maximum => Cell::Null,
    }
}

fn by_interval(plan: &Plan, values: impl Iterator<Item = Value>) -> QueryResult {
    let timeframes = plan.buckets.iter().map(|span| Timeframe { start: span.start, end: span.end });
    QueryResult::Buckets(timeframes.zip(values).map(|(timeframe, value)| Bucket { value, timeframe }).collect())
}

/// Orders, cuts and prints rows that ascend by group.
fn rows(plan: &Plan, mut rows: Vec<Row<'_>>) -> Vec<Map<String, Value>> {
    // A stable sort keeps equal rows ascending by group.
    rows.sort_by(|left, right| {
        let orders = plan.shape.order_by.iter();
        orders.map(|order| compare(order, left, right)).find(|found| found.is_ne()).unwrap_or(Ordering::Equal)
    });
    rows.truncate(plan.shape.limit.unwrap_or(usize::MAX));
    let print = |(group, value): Row<'_>| {
        let names = plan.group_by.iter().map(|path| path.as_str().to_owned());
        let mut row: Map<String, Value> = names.zip(group.iter().map(value::to_json)).collect();
        row.insert(RESULT.to_owned(), value::to_json(&value));
        row
    };
    rows.into_iter().map(print).collect()
}

fn compare(order: &Order, left: &Row<'_>, right: &Row<'_>) -> Ordering {
    let (left, right) = match order.by {
        OrderBy::Result => (left.1.as_ref(), right.1.as_ref()),
        OrderBy::Group(index) => (left.0.get(index).unwrap_or(&Cell::Null), right.0.get(index).unwrap_or(&Cell::Null)),
    };
    // Null is the absence of a value, so it is last in both directions.
    match (left, right) {
        (Cell::Null, _) | (_, Cell::Null) => value::order(left, right),
        _ if order.descending => value::order(right, left),
        _ => value::order(left, right),
    }
}

impl Eq for GroupKey<'_> {}

impl PartialOrd for GroupKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GroupKey<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let pairs = self.0.iter().zip(other.0);
        let found = pairs.map(|(left, right)| value::order(left, right)).find(|found| found.is_ne());
        found.unwrap_or_else(|| self.0.len().cmp(&other.0.len()))
    }
}
