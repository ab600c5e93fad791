//! Every form of a timeframe, on ordinary days and on those when clocks change.

use protocol::ErrorCode;
use serde_json::{Value, json};

use super::{NOW, counted, spans};

#[track_caller]
fn check(timeframe: Value, timezone: Value, now: &str, start: &str, end: &str) {
    let params = json!({"timeframe": timeframe, "timezone": timezone});
    let plan = counted(&params, now).unwrap_or_else(|refusal| panic!("{params}: {refusal}"));
    assert_eq!(spans(&plan), [(start.to_owned(), end.to_owned())], "{params} at {now}");
}

#[test]
fn relative_timeframes_count_calendar_units() {
    for (text, start, end) in [
        ("this_minute", "2026-03-18T14:25Z", NOW),
        ("this_3_minutes", "2026-03-18T14:23Z", NOW),
        ("this_hour", "2026-03-18T14:00Z", NOW),
        ("this_24_hours", "2026-03-17T15:00Z", NOW),
        ("today", "2026-03-18T00:00Z", NOW),
        ("this_day", "2026-03-18T00:00Z", NOW),
        ("this_1_day", "2026-03-18T00:00Z", NOW),
        ("this_7_days", "2026-03-12T00:00Z", NOW),
        ("this_week", "2026-03-15T00:00Z", NOW), // a Sunday
        ("this_2_weeks", "2026-03-08T00:00Z", NOW),
        ("this_month", "2026-03-01T00:00Z", NOW),
        ("this_14_months", "2025-02-01T00:00Z", NOW),
        ("this_year", "2026-01-01T00:00Z", NOW),
        ("this_3_years", "2024-01-01T00:00Z", NOW),
        ("previous_minute", "2026-03-18T14:24Z", "2026-03-18T14:25Z"),
        ("previous_90_minutes", "2026-03-18T12:55Z", "2026-03-18T14:25Z"),
        ("previous_2_hours", "2026-03-18T12:00Z", "2026-03-18T14:00Z"),
        ("yesterday", "2026-03-17T00:00Z", "2026-03-18T00:00Z"),
        ("previous_7_days", "2026-03-11T00:00Z", "2026-03-18T00:00Z"),
        ("previous_week", "2026-03-08T00:00Z", "2026-03-15T00:00Z"),
        ("previous_3_weeks", "2026-02-22T00:00Z", "2026-03-15T00:00Z"),
        ("previous_month", "2026-02-01T00:00Z", "2026-03-01T00:00Z"),
        ("previous_13_months", "2025-02-01T00:00Z", "2026-03-01T00:00Z"),
        ("previous_year", "2025-01-01T00:00Z", "2026-01-01T00:00Z"),
        ("last_7_days", "2026-03-11T00:00Z", "2026-03-18T00:00Z"),
        ("last_month", "2026-02-01T00:00Z", "2026-03-01T00:00Z"),
        (" \"today\" ", "2026-03-18T00:00Z", NOW), // as keen-analysis quotes it
    ] {
        check(json!(text), Value::Null, NOW, start, end);
    }
}

#[test]
fn at_a_boundary_the_new_unit_has_begun() {
    let new_year = "2026-01-01T00:00Z"; // a Thursday
    for (text, start, end) in [
        ("previous_week", "2025-12-21T00:00Z", "2025-12-28T00:00Z"),
        ("this_week", "2025-12-28T00:00Z", new_year),
        ("previous_month", "2025-12-01T00:00Z", new_year),
        ("previous_year", "2025-01-01T00:00Z", new_year),
        ("previous_minute", "2025-12-31T23:59Z", new_year),
        ("this_2_years", "2025-01-01T00:00Z", new_year),
        ("this_year", new_year, "2026-01-01T00:00:00.001Z"), // never empty
    ] {
        check(json!(text), Value::Null, new_year, start, end);
    }
    check(json!("this_week"), Value::Null, "2026-03-15T00:00:01Z", "2026-03-15T00:00Z", "2026-03-15T00:00:01Z");
    check(json!("this_week"), Value::Null, "2026-03-14T23:59:59Z", "2026-03-08T00:00Z", "2026-03-14T23:59:59Z");
    check(json!("previous_month"), Value::Null, "2024-03-31T12:00Z", "2024-02-01T00:00Z", "2024-03-01T00:00Z");
}

#[test]
fn units_are_those_of_the_time_zone() {
    let (new_york, lord_howe, kathmandu) = ("America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu");
    for (text, timezone, now, start, end) in [
        // Still the 17th there.
        ("today", json!(new_york), "2026-03-18T03:30Z", "2026-03-17T04:00Z", "2026-03-18T03:30Z"),
        ("today", json!("us/eastern"), "2026-03-18T03:30Z", "2026-03-17T04:00Z", "2026-03-18T03:30Z"),
        ("yesterday", json!(new_york), "2026-03-09T12:00Z", "2026-03-08T05:00Z", "2026-03-09T04:00Z"), // 23 hours
        ("yesterday", json!(new_york), "2026-11-02T12:00Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"), // 25 hours
        ("this_2_months", json!(new_york), "2026-03-18T12:00Z", "2026-02-01T05:00Z", "2026-03-18T12:00Z"),
        // One in the morning comes twice; both are hours.
        ("this_hour", json!(new_york), "2026-11-01T06:30Z", "2026-11-01T06:00Z", "2026-11-01T06:30Z"),
        ("previous_hour", json!(new_york), "2026-11-01T06:30Z", "2026-11-01T05:00Z", "2026-11-01T06:00Z"),
        ("previous_2_hours", json!(new_york), "2026-03-08T07:10Z", "2026-03-08T05:00Z", "2026-03-08T07:00Z"),
        // Half an hour is added: the hour from one lasts 90 minutes.
        ("this_hour", json!(lord_howe), "2026-04-04T15:10Z", "2026-04-04T14:00Z", "2026-04-04T15:10Z"),
        ("this_hour", json!(lord_howe), "2026-04-04T15:40Z", "2026-04-04T15:30Z", "2026-04-04T15:40Z"),
        ("this_minute", json!(lord_howe), "2026-04-04T15:00:30Z", "2026-04-04T15:00Z", "2026-04-04T15:00:30Z"),
        ("yesterday", json!(lord_howe), "2026-04-06T00:00Z", "2026-04-04T13:00Z", "2026-04-05T13:30Z"),
        // Half an hour is left out: the hour from two begins at half past.
        ("this_hour", json!(lord_howe), "2026-10-03T15:45Z", "2026-10-03T15:30Z", "2026-10-03T15:45Z"),
        ("this_hour", json!(kathmandu), "2026-03-18T14:25Z", "2026-03-18T14:15Z", "2026-03-18T14:25Z"),
        ("today", json!(kathmandu), "2026-03-18T14:25Z", "2026-03-17T18:15Z", "2026-03-18T14:25Z"),
        ("today", json!(-28_800), "2026-07-01T14:25Z", "2026-07-01T08:00Z", "2026-07-01T14:25Z"), // no summer time
        ("today", json!("-28800"), "2026-07-01T14:25Z", "2026-07-01T08:00Z", "2026-07-01T14:25Z"),
        ("today", json!("\"US/Pacific\""), "2026-07-01T14:25Z", "2026-07-01T07:00Z", "2026-07-01T14:25Z"),
        ("today", json!(19_800.0), "2026-07-01T14:25Z", "2026-06-30T18:30Z", "2026-07-01T14:25Z"),
        ("today", json!(0), "2026-07-01T14:25Z", "2026-07-01T00:00Z", "2026-07-01T14:25Z"),
        ("today", json!("UTC"), "2026-07-01T14:25Z", "2026-07-01T00:00Z", "2026-07-01T14:25Z"),
        // The clock went from 00:01 back to 23:01: the 7th had begun and goes on.
        ("today", json!("America/St_Johns"), "2010-11-07T03:00Z", "2010-11-07T02:30Z", "2010-11-07T03:00Z"),
        // The 30th of December 2011 didn't exist there, so on the 31st there was no yesterday: as good as empty.
        ("yesterday", json!("Pacific/Apia"), "2011-12-30T12:00Z", "2011-12-30T10:00Z", "2011-12-30T10:00:00.001Z"),
        ("yesterday", json!("Pacific/Apia"), "2011-12-31T12:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
    ] {
        check(json!(text), timezone, now, start, end);
    }
}

#[test]
fn absolute_timeframes_take_the_zone_they_lack() {
    for (timeframe, timezone, start, end) in [
        (
            json!({"start": "2020-01-01T00:00:00.000Z", "end": "2020-01-02T00:00:00Z"}),
            json!("America/New_York"),
            "2020-01-01T00:00Z",
            "2020-01-02T00:00Z",
        ),
        (
            json!({"start": "2020-01-01T00:00:00+01:00", "end": "2020-01-02"}),
            Value::Null,
            "2019-12-31T23:00Z",
            "2020-01-02T00:00Z",
        ),
        (
            json!({"start": "2026-03-08", "end": "2026-03-09T00:00:00"}),
            json!("America/New_York"),
            "2026-03-08T05:00Z",
            "2026-03-09T04:00Z",
        ),
        // Half past two was left out: the clock went on at three.
        (
            json!({"start": "2026-03-08T02:30:00", "end": "2026-03-08T03:30:00"}),
            json!("America/New_York"),
            "2026-03-08T07:00Z",
            "2026-03-08T07:30Z",
        ),
        // Half past one came twice: the first counts.
        (
            json!({"start": "2026-11-01T01:30:00", "end": "2026-11-01T02:00:00"}),
            json!("America/New_York"),
            "2026-11-01T05:30Z",
            "2026-11-01T07:00Z",
        ),
        (json!({"start": "2020-01-01"}), json!(3_600), "2019-12-31T23:00Z", NOW),
        (json!({"start": "2020-01-01", "end": null}), Value::Null, "2020-01-01T00:00Z", NOW),
        (
            json!("{\"start\": \"2020-01-01\", \"end\": \"2020-01-02\"}"),
            Value::Null,
            "2020-01-01T00:00Z",
            "2020-01-02T00:00Z",
        ),
    ] {
        check(timeframe, timezone, NOW, start, end);
    }
}

#[test]
fn without_a_timeframe_all_time_is_one_bucket() {
    let plan = counted(&json!({}), NOW).unwrap();
    assert_eq!(spans(&plan), [("0000-01-01T00:00Z".to_owned(), "9999-12-31T23:59:59.999Z".to_owned())]);
}

#[test]
fn what_is_no_timeframe_is_refused_with_what_was_given() {
    for (timeframe, timezone, named) in [
        (json!("this_0_days"), json!(null), "this_0_days"),
        (json!("this_days"), json!(null), "this_days"),
        (json!("this_7_fortnights"), json!(null), "this_7_fortnights"),
        (json!("this_-7_days"), json!(null), "this_-7_days"),
        (json!("this_+7_days"), json!(null), "this_+7_days"),
        (json!("next_7_days"), json!(null), "next_7_days"),
        (json!("tomorrow"), json!(null), "tomorrow"),
        (json!(""), json!(null), "unknown timeframe ''"),
        (json!("this_99999999_days"), json!(null), "this_99999999_days"),
        (json!("this_9999999_years"), json!(null), "before the year 0"),
        (json!("previous_3000_years"), json!(null), "before the year 0"),
        (json!(7), json!(null), "got 7"),
        (json!(["today"]), json!(null), "got [\"today\"]"),
        (json!({}), json!(null), "'start'"),
        (json!({"end": "2020-01-01"}), json!(null), "'start'"),
        (json!({"start": "soon"}), json!(null), "got soon"),
        (json!({"start": 5}), json!(null), "got 5"),
        (json!({"start": "2020-01-02", "end": "2020-01-01"}), json!(null), "not before its end"),
        (json!({"start": "2020-01-01", "end": "2020-01-01"}), json!(null), "not before its end"),
        (json!({"start": "2099-01-01"}), json!(null), "not before its end"),
        (json!("today"), json!("Mars/Olympus"), "Mars/Olympus"),
        (json!("today"), json!(90_000), "90000"),
        (json!("today"), json!(0.5), "0.5"),
        (json!("today"), json!(""), "timezone ''"),
        (json!("today"), json!("../../etc/passwd"), "passwd"),
        (json!("today"), json!({"a": 1}), "{\"a\":1}"),
    ] {
        let params = json!({"timeframe": timeframe, "timezone": timezone});
        let refusal = counted(&params, NOW).expect_err(&params.to_string());
        assert_eq!(refusal.code, ErrorCode::InvalidParameter, "{params}");
        assert!(refusal.message.contains(named), "{params}: {}", refusal.message);
    }
}
