//! What each analysis computes, by the rules that `naive` lists.

use protocol::query::Analysis;
use protocol::row::Row;
use protocol::{ErrorCode, limits::QueryLimits};
use serde_json::{Value, json};

use super::{NOW, asked, at, planned, row};
use crate::naive::run;

/// One row per value of `v`; none for a missing one.
fn rows(values: &[Option<Value>]) -> Vec<Row> {
    let properties = |value: &Option<Value>| value.as_ref().map_or_else(|| json!({}), |value| json!({"v": value}));
    values.iter().map(|value| row("2026-03-18T10:00:00Z", &properties(value))).collect()
}

#[track_caller]
fn check(analysis: Analysis, values: &[Option<Value>], expected: Value) {
    let found = asked(analysis, &json!({"target_property": "v"}), &rows(values));
    assert_eq!(found, expected, "{analysis:?} of {values:?}");
}

fn some(values: Value) -> Vec<Option<Value>> {
    values.as_array().unwrap().iter().cloned().map(Some).collect()
}

#[test]
fn sums_of_whole_numbers_are_exact() {
    check(Analysis::Sum, &some(json!([1, 2, 3])), json!(6));
    check(Analysis::Sum, &some(json!([9_007_199_254_740_993_i64, 2])), json!(9_007_199_254_740_995_i64));
    check(Analysis::Sum, &some(json!([i64::MAX, 1, -1])), json!(i64::MAX));
    check(Analysis::Sum, &some(json!([i64::MAX, i64::MAX])), json!(18_446_744_073_709_551_614.0));
    check(Analysis::Sum, &some(json!([1, 0.5])), json!(1.5));
    check(Analysis::Sum, &some(json!([1.5, 1.5])), json!(3));
    check(Analysis::Sum, &some(json!([1e308, 1e308])), json!(f64::MAX));
}

#[test]
fn numeric_analyses_see_only_numbers() {
    let mixed = [
        Some(json!(4)),
        Some(json!("100")),
        Some(json!(null)),
        None,
        Some(json!([1000])),
        Some(json!(true)),
        Some(json!(1)),
    ];
    for (analysis, expected) in [
        (Analysis::Count, json!(7)),
        (Analysis::Sum, json!(5)),
        (Analysis::Average, json!(2.5)),
        (Analysis::Minimum, json!(1)),
        (Analysis::Maximum, json!(4)),
        (Analysis::CountUnique, json!(5)),
    ] {
        check(analysis, &mixed, expected);
    }
}

#[test]
fn distinct_values_are_told_apart_by_type_and_lists_count_as_their_elements() {
    for (values, expected) in [
        (json!([1, 1.0, "1", true, null]), 3),
        (json!([["a", "b"], "b", [], [null]]), 2),
        (json!([["a", ["a"]], ["a"]]), 2),
        (json!([[{"x": 1}], [{"x": 1}, {"x": 2}]]), 2),
        (json!(["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.000Z"]), 2),
        (json!([u64::MAX, u64::MAX - 1]), 2),
    ] {
        check(Analysis::CountUnique, &some(values), json!(expected));
    }
}

#[test]
fn extremes_are_of_numbers_or_else_of_times() {
    check(Analysis::Minimum, &some(json!([2, -1.5, "2020-01-01T00:00:00Z"])), json!(-1.5));
    check(
        Analysis::Maximum,
        &some(json!([9_007_199_254_740_993_i64, 9_007_199_254_740_992.0])),
        json!(9_007_199_254_740_993_i64),
    );
    let times = some(json!(["2020-01-01T00:00:00+02:00", "2019-12-31T23:00:00Z", "2020-01-01", "zebra"]));
    check(Analysis::Minimum, &times, json!("2019-12-31T22:00:00.000Z"));
    check(Analysis::Maximum, &times, json!("2019-12-31T23:00:00.000Z"));
    check(Analysis::Maximum, &some(json!(["a", "b"])), json!(null));
}

#[test]
fn a_rows_own_properties_can_be_asked() {
    let rows = [row("2026-03-18T10:00:00Z", &json!({})), row("2026-03-18T12:00:00Z", &json!({}))];
    let ask = |analysis, params: Value| asked(analysis, &params, &rows);
    assert_eq!(ask(Analysis::Maximum, json!({"target_property": "keen.timestamp"})), json!("2026-03-18T12:00:00.000Z"));
    assert_eq!(
        ask(Analysis::Minimum, json!({"target_property": "keen.created_at"})),
        json!("2026-03-18T10:00:00.005Z")
    );
    assert_eq!(ask(Analysis::CountUnique, json!({"target_property": "keen.id"})), json!(2));
    let after =
        json!([{"property_name": "keen.timestamp", "operator": "gt", "property_value": "2026-03-18T12:00:00+01:00"}]);
    assert_eq!(ask(Analysis::Count, json!({"filters": after})), json!(1));
    let id = rows[0].id.to_string();
    let by_id = json!([{"property_name": "keen.id", "operator": "eq", "property_value": id}]);
    assert_eq!(ask(Analysis::Count, json!({"filters": by_id})), json!(1));
}

#[test]
fn only_the_plans_project_collection_and_time_count() {
    let mut rows = vec![row("2026-03-18T00:00:00Z", &json!({})); 5];
    rows[1].project = "q".parse().unwrap();
    rows[2].collection = "views".parse().unwrap();
    rows[3].timestamp = at("2026-03-17T23:59:59.999Z");
    rows[4].timestamp = at(NOW); // the end is not in the timeframe
    let plan = planned(Analysis::Count, &json!({"timeframe": "today"}), &[], NOW).unwrap();
    let output = run(&plan, &rows).unwrap();
    assert_eq!((output.lines.len(), output.events_scanned), (1, 1));
}

#[test]
fn one_group_or_value_too_many_stops_the_query() {
    let values: Vec<Option<Value>> = (0..5).map(|value| Some(json!(value))).collect();
    let params =
        crate::params_from_json(br#"{"event_collection":"clicks","group_by":"v","target_property":"v"}"#).unwrap();
    for (groups_max, unique_values_max, passes) in [(5, 5, true), (4, 5, false), (5, 4, false)] {
        let limits = QueryLimits { groups_max, unique_values_max, ..QueryLimits::default() };
        let plan = crate::plan(&"p".parse().unwrap(), Analysis::CountUnique, &params, &[], at(NOW), &limits).unwrap();
        let found = run(&plan, &rows(&values));
        assert_eq!(found.is_ok(), passes, "{groups_max} {unique_values_max}");
        if let Err(refusal) = found {
            assert_eq!(refusal.code, ErrorCode::TooManyGroups);
            assert!(refusal.message.contains("more than 4"), "{}", refusal.message);
        }
    }
}
