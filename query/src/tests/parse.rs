//! The ways in which Keen's clients write parameters, and texts that are none of them.

use proptest::prelude::*;
use protocol::ErrorCode;
use protocol::limits::QueryLimits;
use protocol::query::{Analysis, Params};
use serde_json::{Value, json};

use super::{NOW, at, counted, planned};
use crate::plan::OrderBy;
use crate::{params_from_json, params_from_query};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_get_and_a_post_give_the_same_parameters() {
    let eq = json!({"property_name": "a b", "operator": "eq", "property_value": "x y"});
    for (get, post) in [
        (
            &[("event_collection", "signed up"), ("api_key", "k"), ("", ""), ("c", "clv1")][..],
            json!({"event_collection": "signed up"}),
        ),
        (&[("timeframe", "this_7_days")], json!({"timeframe": "this_7_days"})),
        (&[("timeframe", "\"this_7_days\"")], json!({"timeframe": "this_7_days"})),
        (
            &[("timeframe", "{\"start\": \"2020-01-01\", \"end\": \"2020-01-02\"}")],
            json!({"timeframe": {"start": "2020-01-01", "end": "2020-01-02"}}),
        ),
        (&[("timezone", "\"UTC\"")], json!({"timezone": "UTC"})),
        (&[("timezone", "-28800")], json!({"timezone": "-28800"})),
        (&[("interval", "daily"), ("timeframe", "")], json!({"interval": "daily", "timeframe": null})),
        (&[("group_by", "a.b")], json!({"group_by": "a.b"})),
        (&[("group_by", "[\"a\", \"b\"]")], json!({"group_by": ["a", "b"]})),
        (
            &[("order_by", "{\"property_name\": \"result\", \"direction\": \"DESC\"}"), ("limit", "3")],
            json!({"order_by": {"property_name": "result", "direction": "DESC"}, "limit": "3"}),
        ),
        (
            &[("filters", "[{\"property_name\": \"a b\", \"operator\": \"eq\", \"property_value\": \"x y\"}]")],
            json!({"filters": [eq], "analysis_type": "count", "max_age": 300, "include_metadata": true}),
        ),
        (
            &[("filters", "null"), ("target_property", "\"quoted\"")],
            json!({"filters": null, "target_property": "\"quoted\""}),
        ),
    ] {
        let from_get = params_from_query(&pairs(get)).unwrap_or_else(|refusal| panic!("{get:?}: {refusal}"));
        let from_post =
            params_from_json(post.to_string().as_bytes()).unwrap_or_else(|refusal| panic!("{post}: {refusal}"));
        assert_eq!(from_get, from_post, "{get:?}");
    }
}

#[test]
fn a_body_may_be_empty_but_not_something_else() {
    for body in ["", " \n", "{}"] {
        assert_eq!(params_from_json(body.as_bytes()), Ok(Params::default()), "{body:?}");
    }
    for body in ["[]", "null", "\"x\"", "{", "{\"a\":1}x", "\u{feff}{}", "{\"limit\":1e999}"] {
        assert_eq!(
            params_from_json(body.as_bytes()).map_err(|refusal| refusal.code),
            Err(ErrorCode::InvalidParameter),
            "{body:?}"
        );
    }
    assert!(params_from_json(b"{\"a\":\"\xff\"}").is_err());
    assert!(params_from_json("[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn parameters_of_another_type_are_refused_with_what_was_given() {
    for (params, named) in [
        (json!({"event_collection": 5}), "'event_collection' must be a text, got 5"),
        (json!({"event_collection": "_x"}), "event_collection '_x'"),
        (json!({"event_collection": ""}), "event_collection ''"),
        (json!({"interval": ["daily"]}), "'interval' must be a text"),
        (json!({"target_property": {}}), "'target_property' must be a text"),
        (json!({"group_by": 5}), "got 5"),
        (json!({"group_by": ""}), "group_by ''"),
        (json!({"group_by": [["a"]]}), "got [\"a\"]"),
        (json!({"group_by": {"property_name": "a", "buckets": {"size": 10}}}), "buckets or ranges is not answered yet"),
        (json!({"group_by": ["a", {"property_name": "b", "ranges": []}]}), "buckets or ranges is not answered yet"),
        (json!({"group_by": ["a", "b", "c", "d", "e", "f", "g", "h", "i"]}), "9 properties, the limit is 8"),
        (json!({"group_by": "result"}), "'result'"),
        (json!({"limit": 0}), "got 0"),
        (json!({"limit": -1}), "got -1"),
        (json!({"limit": 1.5}), "got 1.5"),
        (json!({"limit": "ten"}), "got ten"),
        (json!({"order_by": "b", "group_by": "a"}), "order_by 'b'"),
        (json!({"order_by": {"direction": "ASC"}}), "'property_name'"),
        (json!({"order_by": {"property_name": "result", "direction": "down"}}), "down"),
        (json!({"order_by": 7}), "got 7"),
    ] {
        let refusal = counted(&params, NOW).expect_err(&params.to_string());
        assert_eq!(refusal.code, ErrorCode::InvalidParameter, "{params}");
        assert!(refusal.message.contains(named), "{params}: {}", refusal.message);
    }
    let twice = params_from_query(&pairs(&[("filters", "[]"), ("filters", "[]")])).unwrap_err();
    assert_eq!(twice.message, "parameter 'filters' is given twice");
    assert!(params_from_query(&pairs(&[("x", "1"), ("x", "2")])).is_ok());
    let missing = params_from_json(b"{}").and_then(|params| {
        crate::plan(&"p".parse().unwrap(), Analysis::Count, &params, &[], at(NOW), &QueryLimits::default())
    });
    assert_eq!(missing.unwrap_err().message, "'event_collection' is missing");
    let long = counted(&json!({"timeframe": "x".repeat(10_000)}), NOW).unwrap_err();
    assert!(long.message.len() < 500, "{}", long.message.len());
}

#[test]
fn every_analysis_but_count_needs_a_target() {
    for (analysis, name) in Analysis::ALL {
        let without = planned(*analysis, &json!({}), &[], NOW);
        let with = planned(*analysis, &json!({"target_property": "item.price"}), &[], NOW).unwrap();
        if *analysis == Analysis::Count {
            assert_eq!((without.unwrap().target, with.target), (None, None));
        } else {
            assert_eq!(without.unwrap_err().message, format!("'target_property' is missing; {name} needs it"));
            assert_eq!(with.target.unwrap().as_str(), "item.price");
            assert!(planned(*analysis, &json!({"target_property": "a..b"}), &[], NOW).is_err());
        }
    }
}

#[test]
fn orders_and_limits_are_read_in_all_their_forms() {
    for (order_by, expected) in [
        (json!("result"), vec![(OrderBy::Result, false)]),
        (json!({"property_name": "b", "direction": "desc"}), vec![(OrderBy::Group(1), true)]),
        (
            json!("[{\"property_name\":\"result\",\"direction\":\"DESC\"},\"a\"]"),
            vec![(OrderBy::Result, true), (OrderBy::Group(0), false)],
        ),
        (json!({"property_name": "a", "direction": null}), vec![(OrderBy::Group(0), false)]),
        (json!([]), vec![]),
    ] {
        let plan = counted(&json!({"group_by": ["a", "b", "a"], "order_by": order_by, "limit": "2"}), NOW).unwrap();
        let found: Vec<_> = plan.shape.order_by.into_iter().map(|order| (order.by, order.descending)).collect();
        assert_eq!(found, expected, "{order_by}");
        assert_eq!(plan.shape.limit, Some(2));
        assert_eq!(plan.group_by.len(), 2);
    }
}

#[test]
fn the_rows_of_an_answer_are_limited_through_its_groups() {
    for (params, groups_max) in [
        (json!({"group_by": "a"}), 100_000),
        (json!({}), 100_000),
        (json!({"group_by": "a", "timeframe": "previous_1000_days", "interval": "daily"}), 250),
        (json!({"timeframe": "previous_1000_days", "interval": "daily"}), 100_000),
        (json!({"group_by": "a", "timeframe": "previous_10000_hours", "interval": "hourly"}), 25),
    ] {
        assert_eq!(counted(&params, NOW).unwrap().groups_max, groups_max, "{params}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        "(this|previous|last|every|next)_[0-9]{0,12}_?(minute|hour|day|week|month|year)s?",
        "-?[0-9]{1,5}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?",
        prop::sample::select(
            &[
                "today",
                "daily",
                "minutely",
                "yearly",
                "Asia/Gaza",
                "eq",
                "or",
                "in",
                "[\"a\"]",
                "{\"a\":",
                "+",
                "-86400"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = prop::sample::select(
            &["start", "end", "property_name", "operator", "operands", "operand", "property_value", "direction"][..],
        );
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

const NAMES: &[&str] =
    &["target_property", "timeframe", "timezone", "interval", "group_by", "filters", "order_by", "limit", "other"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_query_does_more_harm_than_being_refused(
        given in proptest::collection::btree_map(prop::sample::select(NAMES), any_json(), 0..5),
        analysis in prop::sample::select(Analysis::ALL),
        now in protocol::Timestamp::MIN.millis()..=protocol::Timestamp::MAX.millis(),
    ) {
        let mut body = json!({"event_collection": "clicks"});
        let mut query = pairs(&[("event_collection", "clicks")]);
        for (name, value) in given {
            query.push((name.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            body[name] = value;
        }
        let limits = QueryLimits { buckets_max: 100, ..QueryLimits::default() };
        let now = protocol::Timestamp::from_millis(now);
        for params in [params_from_json(body.to_string().as_bytes()), params_from_query(&query)].into_iter().flatten() {
            let Ok(plan) = crate::plan(&"p".parse().unwrap(), analysis.0, &params, &[], now, &limits) else { continue };
            prop_assert!((1..=100).contains(&plan.buckets.len()), "{}", body);
            prop_assert!(plan.buckets.iter().all(|span| span.start < span.end), "{}: {:?}", body, plan.buckets);
        }
    }

    #[test]
    fn no_bytes_make_a_body_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = params_from_json(&bytes);
    }

    #[test]
    fn a_relative_timeframe_never_panics_at_any_time(
        count in 0_u32..20_000,
        unit in prop::sample::select(&["minutes", "hours", "days", "weeks", "months", "years"][..]),
        which in prop::sample::select(&["this", "previous"][..]),
        interval in prop::sample::select(&["yearly", "monthly", "hourly", "every_3_years"][..]),
        zone in prop::sample::select(&["UTC", "Pacific/Apia", "America/New_York", "-86400", "86400"][..]),
        now in protocol::Timestamp::MIN.millis()..=protocol::Timestamp::MAX.millis(),
    ) {
        let now = protocol::Timestamp::from_millis(now).to_string();
        let params = json!({"timeframe": format!("{which}_{count}_{unit}"), "timezone": zone, "interval": interval});
        if let Ok(plan) = counted(&params, &now) {
            prop_assert!(plan.buckets.windows(2).all(|pair| pair[0].end == pair[1].start), "{:?}", plan.buckets);
            prop_assert!(plan.buckets.iter().all(|span| span.start < span.end), "{:?}", plan.buckets);
        }
    }
}
