//! A key with filters never sees outside them, whatever is asked with it.

use std::borrow::Cow;

use proptest::prelude::*;
use protocol::query::{Analysis, Filter};
use protocol::row::Row;
use protocol::{ErrorCode, limits::QueryLimits};
use serde_json::{Value, json};

use super::{NOW, planned, row};
use crate::naive::property;
use crate::plan::Predicate;
use crate::{answer, check_filters, filters, matches, naive};

fn keys_filters(json: &Value) -> Vec<Filter> {
    filters::from_json(json).unwrap()
}

#[test]
fn the_keys_filters_come_first_and_all_must_hold() {
    let forced = keys_filters(&json!([{"property_name": "customer", "operator": "eq", "property_value": 42}]));
    let asked = json!({"filters": [{"operator": "or", "operands": [
        {"property_name": "customer", "operator": "ne", "property_value": 42},
        {"property_name": "customer", "operator": "exists", "property_value": false},
    ]}]});
    let plan = planned(Analysis::Count, &asked, &forced, NOW).unwrap();
    let Predicate::All(all) = &plan.filter else { panic!("{:?}", plan.filter) };
    let alone = planned(Analysis::Count, &json!({}), &forced, NOW).unwrap();
    let Predicate::All(first) = &alone.filter else { panic!("{:?}", alone.filter) };
    assert_eq!(all.first(), first.first());
    assert_eq!(all.len(), 2);
}

#[test]
fn a_key_whose_filters_cannot_be_understood_sees_nothing() {
    for broken in [
        json!([{"property_name": "a", "operator": "regex", "property_value": "."}]),
        json!([{"property_name": "secret..name", "operator": "eq", "property_value": 1}]),
        json!([{"operator": "or", "operands": []}]),
    ] {
        let forced = keys_filters(&broken);
        let refusal = planned(Analysis::Count, &json!({}), &forced, NOW).expect_err(&broken.to_string());
        assert_eq!(refusal.code, ErrorCode::KeyNotPermitted, "{broken}");
        assert!(!refusal.message.contains("secret"), "{}", refusal.message);
        assert!(check_filters(&forced, &QueryLimits::default()).is_err(), "{broken}");
    }
}

#[test]
fn the_keys_filters_leave_the_callers_their_number() {
    let one = json!({"property_name": "a", "operator": "eq", "property_value": 1});
    let many = Value::from(vec![one.clone(); 100]);
    assert!(planned(Analysis::Count, &json!({"filters": many}), &keys_filters(&json!([one])), NOW).is_ok());
}

fn test() -> impl Strategy<Value = Value> {
    let operators = prop::sample::select(&["eq", "ne", "lt", "gte", "exists", "in", "contains", "not_contains"][..]);
    (prop::sample::select(&["a", "b", "keen.timestamp"][..]), operators, -1_i64..3).prop_map(
        |(name, operator, value)| {
            let value = match operator {
                "exists" => json!(value > 0),
                "in" => json!([value, null]),
                _ => json!(value),
            };
            json!({"property_name": name, "operator": operator, "property_value": value})
        },
    )
}

fn filter() -> impl Strategy<Value = Value> {
    test().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (prop::sample::select(&["or", "and"][..]), proptest::collection::vec(inner.clone(), 1..3))
                .prop_map(|(operator, operands)| json!({"operator": operator, "operands": operands})),
            inner.prop_map(|operand| json!({"operator": "not", "operand": operand})),
        ]
    })
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let value = prop_oneof![
        (-1_i64..3).prop_map(|value| json!(value)),
        Just(json!(null)),
        Just(json!([0, 1])),
        Just(json!("1"))
    ];
    let pair = (proptest::option::of(value.clone()), proptest::option::of(value));
    proptest::collection::vec(pair, 0..12).prop_map(|pairs| {
        let properties = |(a, b): (Option<Value>, Option<Value>)| {
            let given = [("a", a), ("b", b)].into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(given.collect())
        };
        pairs.into_iter().map(|pair| row("2026-03-18T10:00:00Z", &properties(pair))).collect()
    })
}

proptest! {
    #[test]
    fn a_query_with_a_key_is_the_query_and_the_keys_filters(
        rows in rows(),
        asked in proptest::collection::vec(filter(), 0..3),
        forced in proptest::collection::vec(filter(), 0..3),
        analysis in prop::sample::select(Analysis::ALL),
    ) {
        let shape = |filters: &[Value]| json!({
            "filters": filters, "timeframe": "today", "interval": "hourly", "group_by": "b", "target_property": "a",
        });
        let forced_filters = keys_filters(&Value::from(forced.clone()));
        let with_key = planned(analysis.0, &shape(&asked), &forced_filters, NOW).unwrap();
        let both: Vec<Value> = forced.iter().chain(&asked).cloned().collect();
        let by_hand = planned(analysis.0, &shape(&both), &[], NOW).unwrap();
        let ask = |plan| answer(plan, &naive::run(plan, &rows).unwrap());
        prop_assert_eq!(ask(&with_key), ask(&by_hand));

        // And row by row: none is seen that the key's filters alone don't show.
        let key_alone = planned(Analysis::Count, &json!({}), &forced_filters, NOW).unwrap();
        for row in &rows {
            let seen = |filter| matches(filter, &|path| property(row, path));
            prop_assert!(!seen(&with_key.filter) || seen(&key_alone.filter), "{:?}", row);
        }
    }

    #[test]
    fn nothing_in_the_parameters_moves_the_keys_filters(body in any_body()) {
        let forced = keys_filters(&json!([{"property_name": "customer", "operator": "eq", "property_value": "42"}]));
        let Ok(params) = crate::params_from_json(body.to_string().as_bytes()) else { return Ok(()) };
        let project = "p".parse().unwrap();
        let planned = crate::plan(&project, Analysis::Count, &params, &forced, super::at(NOW), &QueryLimits::default());
        let Ok(plan) = planned else { return Ok(()) };
        let other = |_: &_| Some(Cow::Owned(protocol::row::Cell::Text("43".to_owned())));
        prop_assert!(!matches(&plan.filter, &other), "{}", body);
        prop_assert_eq!(plan.project, project);
    }
}

/// Bodies with the names that could do harm, and any filters.
fn any_body() -> impl Strategy<Value = Value> {
    let name =
        prop::sample::select(&["project", "project_id", "forced", "query_filters", "api_key", "filter", "limit"][..]);
    (proptest::collection::vec(filter(), 0..3), name, filter()).prop_map(|(filters, name, value)| {
        let mut body = json!({"event_collection": "clicks", "filters": filters});
        body[name] = if name == "limit" { json!(1) } else { value };
        body
    })
}
