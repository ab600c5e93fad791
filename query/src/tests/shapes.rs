//! Keen's shapes of an answer, as JSON.

use protocol::query::Analysis;
use protocol::row::{Cell, Row};
use serde_json::{Value, json};

use super::{NOW, asked, counted, row};
use crate::answer;
use crate::plan::{Line, Output};

/// Three days of clicks: two countries on the first, none on the second, one and an unknown on the third.
fn clicks() -> Vec<Row> {
    [
        ("2020-01-01T10:00:00Z", json!({"c": "US", "d": "x", "n": 2})),
        ("2020-01-01T11:00:00Z", json!({"c": "US", "d": "x", "n": 3})),
        ("2020-01-01T12:00:00Z", json!({"c": "PL", "d": "y", "n": 0.5})),
        ("2020-01-03T10:00:00Z", json!({"c": "US", "d": "y", "n": "7"})),
        ("2020-01-03T11:00:00Z", json!({"c": null, "n": 1})),
        ("2020-01-03T12:00:00Z", json!({"d": "y"})),
    ]
    .iter()
    .map(|(time, properties)| row(time, properties))
    .collect()
}

#[track_caller]
fn check(analysis: Analysis, params: Value, expected: Value) {
    let found = asked(analysis, &params, &clicks());
    assert_eq!(found, expected, "{params}:\n{found}");
}

fn day(number: u8) -> Value {
    let midnight = |number: u8| format!("2020-01-0{number}T00:00:00.000Z");
    json!({"start": midnight(number), "end": midnight(number + 1)})
}

fn three_days() -> Value {
    json!({"start": "2020-01-01", "end": "2020-01-04"})
}

#[test]
fn plain() {
    check(Analysis::Count, json!({}), json!(6));
    check(Analysis::Sum, json!({"target_property": "n"}), json!(6.5));
    check(Analysis::Average, json!({"target_property": "n"}), json!(1.625));
    check(Analysis::CountUnique, json!({"target_property": "c"}), json!(2));
}

#[test]
fn nothing_matched() {
    for (analysis, expected) in [
        (Analysis::Count, json!(0)),
        (Analysis::CountUnique, json!(0)),
        (Analysis::Sum, json!(0)),
        (Analysis::Average, json!(null)),
        (Analysis::Minimum, json!(null)),
        (Analysis::Maximum, json!(null)),
    ] {
        check(analysis, json!({"target_property": "n", "timeframe": "today"}), expected.clone());
        // Rows without a number are as good as none.
        check(
            analysis,
            json!({"target_property": "nothing", "timeframe": {"start": "1999-01-01", "end": "1999-01-02"}}),
            expected,
        );
        check(analysis, json!({"target_property": "n", "timeframe": "today", "group_by": "c"}), json!([]));
    }
    check(Analysis::Sum, json!({"target_property": "d"}), json!(0));
    check(Analysis::Average, json!({"target_property": "d"}), json!(null));
}

#[test]
fn groups_ascend_with_null_last() {
    check(
        Analysis::Count,
        json!({"group_by": "c"}),
        json!([{"c": "PL", "result": 1}, {"c": "US", "result": 3}, {"c": null, "result": 2}]),
    );
    check(
        Analysis::Count,
        json!({"group_by": ["c", "d"]}),
        json!([
            {"c": "PL", "d": "y", "result": 1},
            {"c": "US", "d": "x", "result": 2},
            {"c": "US", "d": "y", "result": 1},
            {"c": null, "d": "y", "result": 1},
            {"c": null, "d": null, "result": 1},
        ]),
    );
    check(
        Analysis::Count,
        json!({"group_by": "n"}),
        json!([
            {"n": 0.5, "result": 1}, {"n": 1, "result": 1}, {"n": 2, "result": 1}, {"n": 3, "result": 1},
            {"n": "7", "result": 1}, {"n": null, "result": 1},
        ]),
    );
}

#[test]
fn rows_name_properties_by_their_dotted_path() {
    let rows = [row("2020-01-01T10:00:00Z", &json!({"item": {"tags": ["b", 1]}}))];
    let found = asked(Analysis::Count, &json!({"group_by": "item.tags"}), &rows);
    assert_eq!(found, json!([{"item.tags": ["b", 1], "result": 1}]));
}

#[test]
fn every_bucket_is_there() {
    check(
        Analysis::Count,
        json!({"timeframe": three_days(), "interval": "daily"}),
        json!([
            {"value": 3, "timeframe": day(1)},
            {"value": 0, "timeframe": day(2)},
            {"value": 3, "timeframe": day(3)},
        ]),
    );
    check(
        Analysis::Minimum,
        json!({"timeframe": three_days(), "interval": "daily", "target_property": "n"}),
        json!([
            {"value": 0.5, "timeframe": day(1)},
            {"value": null, "timeframe": day(2)},
            {"value": 1, "timeframe": day(3)},
        ]),
    );
}

#[test]
fn every_group_is_in_every_bucket() {
    let us_and_pl = json!([{"property_name": "c", "operator": "in", "property_value": ["US", "PL"]}]);
    check(
        Analysis::Count,
        json!({"timeframe": three_days(), "interval": "daily", "group_by": "c", "filters": us_and_pl}),
        json!([
            {"value": [{"c": "PL", "result": 1}, {"c": "US", "result": 2}], "timeframe": day(1)},
            {"value": [{"c": "PL", "result": 0}, {"c": "US", "result": 0}], "timeframe": day(2)},
            {"value": [{"c": "PL", "result": 0}, {"c": "US", "result": 1}], "timeframe": day(3)},
        ]),
    );
    check(
        Analysis::Sum,
        json!({
            "timeframe": three_days(), "interval": "every_2_days", "group_by": ["d", "c"], "target_property": "n",
            "filters": us_and_pl,
        }),
        json!([
            {
                "value": [
                    {"c": "US", "d": "x", "result": 5},
                    {"c": "PL", "d": "y", "result": 0.5},
                    {"c": "US", "d": "y", "result": 0},
                ],
                "timeframe": {"start": "2020-01-01T00:00:00.000Z", "end": "2020-01-03T00:00:00.000Z"},
            },
            {
                "value": [
                    {"c": "US", "d": "x", "result": 0},
                    {"c": "PL", "d": "y", "result": 0},
                    {"c": "US", "d": "y", "result": 0},
                ],
                "timeframe": day(3),
            },
        ]),
    );
    check(
        Analysis::Count,
        json!({"timeframe": {"start": "1999-01-01", "end": "1999-01-02"}, "interval": "daily", "group_by": "c"}),
        json!([{"value": [], "timeframe": {"start": "1999-01-01T00:00:00.000Z", "end": "1999-01-02T00:00:00.000Z"}}]),
    );
}

#[test]
fn ordered_or_cut_buckets_have_their_own_groups() {
    let by_result = json!({"property_name": "result", "direction": "DESC"});
    check(
        Analysis::Count,
        json!({"timeframe": three_days(), "interval": "daily", "group_by": "c", "order_by": by_result, "limit": 1}),
        json!([
            {"value": [{"c": "US", "result": 2}], "timeframe": day(1)},
            {"value": [], "timeframe": day(2)},
            {"value": [{"c": null, "result": 2}], "timeframe": day(3)},
        ]),
    );
    check(
        Analysis::Count,
        json!({"timeframe": three_days(), "interval": "daily", "group_by": "c", "limit": 5}),
        json!([
            {"value": [{"c": "PL", "result": 1}, {"c": "US", "result": 2}], "timeframe": day(1)},
            {"value": [], "timeframe": day(2)},
            {"value": [{"c": "US", "result": 1}, {"c": null, "result": 2}], "timeframe": day(3)},
        ]),
    );
}

#[test]
fn rows_are_ordered_then_cut() {
    check(
        Analysis::Count,
        json!({"group_by": "c", "order_by": "result"}),
        json!([{"c": "PL", "result": 1}, {"c": null, "result": 2}, {"c": "US", "result": 3}]),
    );
    check(
        Analysis::Count,
        json!({"group_by": "c", "order_by": {"property_name": "c", "direction": "DESC"}, "limit": 2}),
        json!([{"c": "US", "result": 3}, {"c": "PL", "result": 1}]),
    );
    // Equal results ascend by group; a null result is last in both directions.
    check(
        Analysis::Maximum,
        json!({"group_by": "d", "target_property": "n", "order_by": {"property_name": "result", "direction": "DESC"}}),
        json!([{"d": "x", "result": 3}, {"d": null, "result": 1}, {"d": "y", "result": 0.5}]),
    );
    check(
        Analysis::Count,
        json!({"group_by": ["d", "c"], "order_by": [
            {"property_name": "result", "direction": "DESC"},
            {"property_name": "c", "direction": "DESC"},
        ]}),
        json!([
            {"c": "US", "d": "x", "result": 2},
            {"c": "US", "d": "y", "result": 1},
            {"c": "PL", "d": "y", "result": 1},
            {"c": null, "d": "y", "result": 1},
            {"c": null, "d": null, "result": 1},
        ]),
    );
    check(Analysis::Count, json!({"order_by": "result", "limit": 1}), json!(6));
    let ordered = json!({"group_by": "c", "target_property": "n",
        "order_by": {"property_name": "result", "direction": "DESC"},
        "filters": [{"property_name": "n", "operator": "ne", "property_value": 1}]});
    check(
        Analysis::Average,
        ordered,
        json!([{"c": "US", "result": 2.5}, {"c": "PL", "result": 0.5}, {"c": null, "result": null}]),
    );
}

#[test]
fn numbers_are_printed_as_numbers() {
    let plan = counted(&json!({}), NOW).unwrap();
    for (value, expected) in [
        (Cell::Int(i64::MAX), "9223372036854775807"),
        (Cell::Float(3.0), "3"),
        (Cell::Float(-0.0), "0"),
        (Cell::Float(0.1), "0.1"),
        (Cell::Float(1e300), "1e+300"),
        (Cell::Text("2020-01-01T00:00:00.000Z".to_owned()), "\"2020-01-01T00:00:00.000Z\""),
        (Cell::Bool(true), "true"),
    ] {
        let output = Output { lines: vec![Line { bucket: 0, group: Vec::new(), value }], events_scanned: 1 };
        assert_eq!(serde_json::to_string(&answer(&plan, &output)).unwrap(), format!("{{\"result\":{expected}}}"));
    }
}

#[test]
fn lines_of_no_bucket_are_left_out() {
    let plan = counted(&json!({}), NOW).unwrap();
    let output = Output { lines: vec![Line { bucket: 9, group: Vec::new(), value: Cell::Int(1) }], events_scanned: 1 };
    assert_eq!(serde_json::to_value(answer(&plan, &output)).unwrap(), json!({"result": 0}));
}
