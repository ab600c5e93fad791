//! The table of what filters mean, operator by operator, and the laws between them.

use std::borrow::Cow;

use proptest::prelude::*;
use protocol::ErrorCode;
use protocol::limits::QueryLimits;
use protocol::row::Cell;
use serde_json::{Value, json};

use super::{NOW, counted};
use crate::plan::{Predicate, Test};
use crate::{canonical, filters, holds, matches};

/// What an event has: a missing property is told apart from null.
type Property = Option<Value>;

fn passes(operator: &str, given: &Value, property: &Property) -> bool {
    let filter = json!({"property_name": "a.b", "operator": operator, "property_value": given});
    let cell = property.as_ref().map(|value| crate::value::from_json(value).unwrap());
    let predicates = filters::predicates(&filters::from_json(&json!([filter])).unwrap(), &QueryLimits::default());
    matches(&Predicate::All(predicates.unwrap()), &|path| {
        assert_eq!(path.as_str(), "a.b");
        cell.as_ref().map(Cow::Borrowed)
    })
}

/// `yes` are properties that pass, `no` those that don't.
#[track_caller]
fn check(operator: &str, given: Value, yes: &[Value], no: &[Value], missing: bool) {
    for (properties, expected) in [(yes, true), (no, false)] {
        for property in properties {
            assert_eq!(passes(operator, &given, &Some(property.clone())), expected, "{property} {operator} {given}");
        }
    }
    assert_eq!(passes(operator, &given, &None), missing, "missing {operator} {given}");
}

#[test]
fn eq_and_ne_need_the_same_type_and_look_into_lists() {
    let cases = [
        (
            json!("US"),
            vec![json!("US"), json!(["PL", "US"])],
            vec![json!("us"), json!("USA"), json!(1), json!(null), json!([["US"]])],
        ),
        (json!(1), vec![json!(1), json!(1.0), json!([2, 1.0])], vec![json!("1"), json!(true), json!(1.5), json!(null)]),
        (json!(1.0), vec![json!(1)], vec![json!(2)]),
        (json!(0), vec![json!(-0.0)], vec![json!(false), json!("")]),
        (
            json!(9_007_199_254_740_993_i64),
            vec![json!(9_007_199_254_740_993_i64)],
            vec![json!(9_007_199_254_740_992.0)],
        ),
        // Kept as text when stored, so found as text.
        (json!(u64::MAX), vec![json!(u64::MAX)], vec![json!(u64::MAX - 1)]),
        (json!(true), vec![json!(true), json!([true])], vec![json!(false), json!("true"), json!(1)]),
        (json!(""), vec![json!("")], vec![json!(null)]),
        (
            json!([1, 2]),
            vec![json!([1, 2]), json!([1.0, 2]), json!([[1, 2], 3])],
            vec![json!([2, 1]), json!([1, 2, 3]), json!(1)],
        ),
        (json!([]), vec![json!([]), json!([[]])], vec![json!([1]), json!(null)]),
        (
            json!("2020-01-01T00:00:00Z"),
            vec![json!("2020-01-01T00:00:00.000Z"), json!("2020-01-01T01:00:00+01:00")],
            vec![json!("2020-01-01")],
        ),
    ];
    for (given, equal, other) in cases {
        check("eq", given.clone(), &equal, &other, false);
        check("ne", given, &other, &equal, true);
    }
    // Null equals null and the missing; it is the only one that does.
    check("eq", json!(null), &[json!(null), json!([1, null])], &[json!(0), json!(""), json!(false), json!([])], true);
    check("ne", json!(null), &[json!(0), json!(""), json!([])], &[json!(null), json!([null])], false);
}

#[test]
fn order_is_of_numbers_of_texts_and_of_times() {
    check(
        "lt",
        json!(2),
        &[json!(1), json!(1.999), json!(-5)],
        &[json!(2), json!(3), json!("1"), json!(null), json!([1])],
        false,
    );
    check("lte", json!(2), &[json!(2), json!(2.0)], &[json!(2.001), json!(true)], false);
    check("gt", json!(2.5), &[json!(3), json!(2.75)], &[json!(2), json!(2.5), json!("3"), json!(null)], false);
    check("gte", json!(2.5), &[json!(2.5), json!(3)], &[json!(2)], false);
    check(
        "gt",
        json!(9_007_199_254_740_992.0),
        &[json!(9_007_199_254_740_993_i64)],
        &[json!(9_007_199_254_740_992_i64)],
        false,
    );
    check("lt", json!(u64::MAX), &[json!(i64::MAX)], &[json!(1e20)], false);
    // By code point: capitals before small letters, those before accents.
    check(
        "lt",
        json!("b"),
        &[json!("a"), json!("B"), json!("")],
        &[json!("b"), json!("é"), json!(1), json!(null)],
        false,
    );
    check("gte", json!("2020-01-02"), &[json!("2020-01-02T00:00:00Z")], &[json!("2020-01-01T23:59:59Z")], false);
    check(
        "lt",
        json!("2020-01-01T00:00:00Z"),
        &[json!("2019-12-31T23:59:59.999Z"), json!("2020-01-01T00:30:00+01:00")],
        &[json!("2020-01-01T00:00:00.000Z"), json!("2019-12-31T23:30:00-01:00")],
        false,
    );
    check("lte", json!("2020-01-01T00:00:00Z"), &[json!("2020-01-01T00:00:00.000Z")], &[json!(1)], false);
}

#[test]
fn exists_counts_null_and_takes_texts() {
    let present = [json!(null), json!(0), json!(""), json!([]), json!(false)];
    for (given, when_present) in
        [(json!(true), true), (json!("true"), true), (json!(false), false), (json!("false"), false)]
    {
        let (yes, no): (&[Value], &[Value]) = if when_present { (&present, &[]) } else { (&[], &present) };
        check("exists", given, yes, no, !when_present);
    }
}

#[test]
fn in_is_eq_for_one_of_several() {
    check(
        "in",
        json!(["US", 1]),
        &[json!("US"), json!(1.0), json!(["x", 1])],
        &[json!("PL"), json!("1"), json!(null), json!([])],
        false,
    );
    check("in", json!(["US", null]), &[json!("US"), json!(null)], &[json!("PL")], true);
    check("in", json!([]), &[], &[json!(1), json!(null), json!([])], false);
}

#[test]
fn contains_is_of_texts_and_lists() {
    let cases = [
        (
            json!("ell"),
            vec![json!("hello"), json!("ell"), json!(["ell"])],
            vec![json!("HELLO"), json!(["hello"]), json!(1), json!(null)],
        ),
        (json!(""), vec![json!(""), json!("x")], vec![json!(null), json!([])]),
        (json!(1), vec![json!([2, 1]), json!([1.0])], vec![json!(1), json!("1"), json!([11])]),
        (json!(null), vec![json!([null])], vec![json!(null)]),
    ];
    for (given, yes, no) in cases {
        check("contains", given.clone(), &yes, &no, false);
        check("not_contains", given, &no, &yes, true);
    }
}

#[test]
fn an_empty_objects_cell_is_present_and_equals_nothing() {
    let cell = Cell::List("{}".to_owned());
    assert!(holds(&Test::Exists, Some(&cell)));
    for test in [Test::Equals(Cell::Null), Test::Equals(Cell::List("[]".to_owned())), Test::Contains(Cell::Null)] {
        assert!(!holds(&test, Some(&cell)), "{test:?}");
    }
}

#[test]
fn groups_combine_tests() {
    let a = |value: i64| json!({"property_name": "a", "operator": "eq", "property_value": value});
    for (filters, expected) in [
        (json!([]), true),
        (a(1), true), // one filter without its list
        (json!([a(1), a(2)]), false),
        (json!([{"operator": "or", "operands": [a(2), a(1)]}]), true),
        (json!([{"operator": "or", "operands": [a(2), a(3)]}]), false),
        (json!([{"operator": "and", "operands": [a(1), {"operator": "not", "operand": a(2)}]}]), true),
        (json!([{"operator": "not", "operand": {"operator": "or", "operands": [a(2), a(1)]}}]), false),
        (json!("[{\"property_name\": \"a\", \"operator\": \"eq\", \"property_value\": 1}]"), true),
    ] {
        let plan = counted(&json!({"filters": filters}), NOW).unwrap();
        assert_eq!(matches(&plan.filter, &|_| Some(Cow::Owned(Cell::Int(1)))), expected, "{filters}");
    }
}

#[test]
fn filters_that_have_no_meaning_are_refused() {
    let test =
        |operator: &str, value: Value| json!({"property_name": "a", "operator": operator, "property_value": value});
    let mut nested = test("eq", json!(1));
    for _ in 0..9 {
        nested = json!({"operator": "and", "operands": [nested]});
    }
    let negated = (0..9).fold(test("eq", json!(1)), |inner, _| json!({"operator": "not", "operand": inner}));
    let many: Vec<Value> = (0..101).map(|value| test("eq", json!(value))).collect();
    for (filter, named) in [
        (test("is", json!(1)), "unknown filter operator 'is'"),
        (test("EQ", json!(1)), "'EQ'"),
        (test("regex", json!("a+")), "'regex' is not answered yet"),
        (test("within", json!({"coordinates": [0, 0], "max_distance_miles": 1})), "'within' is not answered yet"),
        (test("eq", json!({"a": 1})), "got {\"a\":1}"),
        (test("in", json!("US")), "a list"),
        (test("in", json!([{}])), "got {}"),
        (test("lt", json!(null)), "a number or a text"),
        (test("gt", json!(true)), "got true"),
        (test("gte", json!([1])), "got [1]"),
        (test("exists", json!(1)), "true or false"),
        (test("exists", json!("yes")), "true or false"),
        (json!({"property_name": "", "operator": "eq", "property_value": 1}), "property ''"),
        (json!({"property_name": "a..b", "operator": "eq", "property_value": 1}), "a..b"),
        (json!({"property_name": "a", "operator": "eq"}), "'property_value'"),
        (json!({"operator": "eq", "property_value": 1}), "'property_name'"),
        (json!({"property_name": 1, "operator": "eq", "property_value": 1}), "'property_name'"),
        (json!({"property_name": "a", "property_value": 1}), "'operator'"),
        (json!({"operator": "or"}), "'operands'"),
        (json!({"operator": "or", "operands": []}), "must not be empty"),
        (json!({"operator": "and", "operands": {}}), "'operands'"),
        (json!({"operator": "not"}), "'operand'"),
        (json!({"operator": "not", "operand": []}), "'operator'"),
        (json!("eq"), "'operator'"),
        (nested, "more than 8 groups"),
        (negated, "more than 8 groups"),
        (json!({"operator": "or", "operands": many}), "more than 100 filters"),
    ] {
        let refusal = counted(&json!({"filters": [filter]}), NOW).expect_err(&filter.to_string());
        assert_eq!(refusal.code, ErrorCode::InvalidParameter, "{filter}");
        assert!(refusal.message.contains(named), "{filter}: {}", refusal.message);
    }
    assert!(counted(&json!({"filters": many[..100]}), NOW).is_ok());
    assert!(counted(&json!({"filters": 5}), NOW).is_err());
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        (-4_i32..5).prop_map(|halves| Value::from(f64::from(halves) / 2.0)),
        "[ab]{0,2}".prop_map(Value::from),
        prop::sample::select(&["2020-01-01T00:00:00Z", "2020-01-01T01:00:00+01:00", "2020-01-01T00:00:01Z"][..])
            .prop_map(Value::from),
    ]
}

fn property() -> impl Strategy<Value = Property> {
    prop_oneof![
        Just(None),
        scalar().prop_map(Some),
        proptest::collection::vec(scalar(), 0..3).prop_map(|list| Some(Value::from(list))),
    ]
}

proptest! {
    #[test]
    fn each_negative_is_the_opposite_of_its_positive(property in property(), given in scalar()) {
        for (positive, negative) in [("eq", "ne"), ("contains", "not_contains")] {
            prop_assert_ne!(passes(positive, &given, &property), passes(negative, &given, &property));
        }
        prop_assert_ne!(passes("exists", &json!(true), &property), passes("exists", &json!(false), &property));
        prop_assert_eq!(passes("exists", &json!(true), &property), property.is_some());
    }

    #[test]
    fn in_is_eq_with_any_of_the_list(property in property(), given in proptest::collection::vec(scalar(), 0..4)) {
        let any = given.iter().any(|one| passes("eq", one, &property));
        prop_assert_eq!(passes("in", &Value::from(given), &property), any);
    }

    #[test]
    fn what_can_be_ordered_is_less_equal_or_greater(property in property(), given in scalar()) {
        prop_assume!(given.is_number() || given.is_string());
        let [less, less_equal, greater, greater_equal] =
            ["lt", "lte", "gt", "gte"].map(|operator| passes(operator, &given, &property));
        let equal = passes("eq", &given, &property) && !property.as_ref().is_some_and(Value::is_array);
        prop_assert!(u8::from(less) + u8::from(equal) + u8::from(greater) <= 1);
        prop_assert_eq!(less_equal, less || equal);
        prop_assert_eq!(greater_equal, greater || equal);
    }

    #[test]
    fn a_value_and_its_one_spelling_pass_alike(property in scalar(), given in scalar()) {
        let cell = crate::value::from_json(&property).unwrap();
        let given = crate::value::from_json(&given).unwrap();
        for test in [Test::Equals(given.clone()), Test::Less(given.clone()), Test::GreaterOrEqual(given)] {
            prop_assert_eq!(holds(&test, Some(&cell)), holds(&test, Some(&canonical(cell.clone()))));
        }
    }
}
