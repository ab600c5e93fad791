//! Every form of an interval, and the laws that all buckets keep.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;
use protocol::limits::QueryLimits;
use protocol::{ErrorCode, Timestamp};
use serde_json::{Value, json};

use super::{NOW, at, counted, spans};
use crate::plan::Span;
use crate::zone::Zone;

#[track_caller]
fn cuts(interval: &str, timeframe: Value, timezone: &str, expected: &[&str]) {
    let params = json!({"timeframe": timeframe, "interval": interval, "timezone": timezone});
    let plan = counted(&params, NOW).unwrap_or_else(|refusal| panic!("{params}: {refusal}"));
    let spans = spans(&plan);
    let mut found: Vec<&str> = spans.iter().map(|(start, _)| start.as_str()).collect();
    found.extend(spans.last().map(|(_, end)| end.as_str()));
    assert_eq!(found, expected, "{params}");
}

fn from_to(start: &str, end: &str) -> Value {
    json!({"start": start, "end": end})
}

#[test]
fn named_intervals_follow_the_calendar_and_are_cut_to_the_timeframe() {
    for (interval, start, end, expected) in [
        (
            "weekly",
            "2015-01-01",
            "2015-01-20",
            &["2015-01-01", "2015-01-04", "2015-01-11", "2015-01-18", "2015-01-20"][..],
        ),
        (
            "daily",
            "2015-01-01T12:00",
            "2015-01-03T01:00",
            &["2015-01-01T12:00Z", "2015-01-02", "2015-01-03", "2015-01-03T01:00Z"],
        ),
        (
            "hourly",
            "2015-01-01T00:30",
            "2015-01-01T02:00",
            &["2015-01-01T00:30Z", "2015-01-01T01:00Z", "2015-01-01T02:00Z"],
        ),
        ("minutely", "2015-01-01T00:00:30", "2015-01-01T00:01", &["2015-01-01T00:00:30Z", "2015-01-01T00:01Z"]),
        ("monthly", "2016-01-31", "2016-03-02", &["2016-01-31", "2016-02-01", "2016-03-01", "2016-03-02"]),
        ("yearly", "2015-12-31", "2017-01-02", &["2015-12-31", "2016-01-01", "2017-01-01", "2017-01-02"]),
        ("weekly", "2016-12-26", "2017-01-09", &["2016-12-26", "2017-01-01", "2017-01-08", "2017-01-09"]),
        ("daily", "2015-01-01T01:00", "2015-01-01T02:00", &["2015-01-01T01:00Z", "2015-01-01T02:00Z"]),
        (" daily ", "2015-01-01", "2015-01-02", &["2015-01-01", "2015-01-02"]),
        ("\"daily\"", "2015-01-01", "2015-01-02", &["2015-01-01", "2015-01-02"]),
    ] {
        let long: Vec<String> = expected
            .iter()
            .map(|day| if day.len() == 10 { format!("{day}T00:00Z") } else { (*day).to_owned() })
            .collect();
        cuts(interval, from_to(start, end), "UTC", &long.iter().map(String::as_str).collect::<Vec<_>>());
    }
    cuts("daily", json!("this_2_days"), "UTC", &["2026-03-17T00:00Z", "2026-03-18T00:00Z", NOW]);
}

#[test]
fn every_n_units_counts_from_the_start() {
    for (interval, start, end, timezone, expected) in [
        (
            "every_2_hours",
            "2015-01-01T00:30",
            "2015-01-01T05:00",
            "UTC",
            &["2015-01-01T00:30Z", "2015-01-01T02:30Z", "2015-01-01T04:30Z", "2015-01-01T05:00Z"][..],
        ),
        (
            "every_15_minutes",
            "2015-01-01T00:00",
            "2015-01-01T00:30",
            "UTC",
            &["2015-01-01T00:00Z", "2015-01-01T00:15Z", "2015-01-01T00:30Z"],
        ),
        (
            "every_1_month",
            "2015-01-31",
            "2015-05-01",
            "UTC",
            &["2015-01-31T00:00Z", "2015-02-28T00:00Z", "2015-03-31T00:00Z", "2015-04-30T00:00Z", "2015-05-01T00:00Z"],
        ),
        (
            "every_2_weeks",
            "2015-01-01",
            "2015-01-20",
            "UTC",
            &["2015-01-01T00:00Z", "2015-01-15T00:00Z", "2015-01-20T00:00Z"],
        ),
        (
            "every_4_years",
            "2016-02-29",
            "2021-01-01",
            "UTC",
            &["2016-02-29T00:00Z", "2020-02-29T00:00Z", "2021-01-01T00:00Z"],
        ),
        // Days keep the time of day over a change of the clock; hours are hours that pass.
        (
            "every_1_days",
            "2026-03-07T10:00",
            "2026-03-09T10:00",
            "America/New_York",
            &["2026-03-07T15:00Z", "2026-03-08T14:00Z", "2026-03-09T14:00Z"],
        ),
        (
            "every_24_hours",
            "2026-03-07T10:00",
            "2026-03-09T10:00",
            "America/New_York",
            &["2026-03-07T15:00Z", "2026-03-08T15:00Z", "2026-03-09T14:00Z"],
        ),
        ("every_9999999_years", "2015-01-01", "2016-01-01", "UTC", &["2015-01-01T00:00Z", "2016-01-01T00:00Z"]),
    ] {
        cuts(interval, from_to(start, end), timezone, expected);
    }
}

#[test]
fn days_when_clocks_change_have_their_own_hours() {
    for (timezone, day, next, buckets, odd_minutes) in [
        ("America/New_York", "2026-03-08", "2026-03-09", 23, None),
        ("America/New_York", "2026-11-01", "2026-11-02", 25, None),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-06", 24, Some(90)),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-05", 24, Some(30)),
        ("Asia/Kathmandu", "2026-03-08", "2026-03-09", 24, None),
    ] {
        let params = json!({"timeframe": from_to(day, next), "interval": "hourly", "timezone": timezone});
        let plan = counted(&params, NOW).unwrap();
        assert_eq!(plan.buckets.len(), buckets, "{params}");
        let minutes = |span: &Span| (span.end.millis() - span.start.millis()) / 60_000;
        let odd: Vec<i64> = plan.buckets.iter().map(minutes).filter(|minutes| *minutes != 60).collect();
        assert_eq!(odd, Vec::from_iter(odd_minutes), "{params}");
    }
}

#[test]
fn odd_days_still_make_buckets_that_touch() {
    // The 30th was left out.
    cuts(
        "daily",
        from_to("2011-12-29", "2012-01-01"),
        "Pacific/Apia",
        &["2011-12-29T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"],
    );
    cuts(
        "every_1_days",
        from_to("2011-12-29", "2012-01-01"),
        "Pacific/Apia",
        &["2011-12-29T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"],
    );
    // One minute past midnight the clock went back to 23:01: the day that had begun went on.
    cuts(
        "daily",
        from_to("2010-11-06", "2010-11-08"),
        "America/St_Johns",
        &["2010-11-06T02:30Z", "2010-11-07T02:30Z", "2010-11-08T03:30Z"],
    );
    cuts(
        "daily",
        json!({"start": "2010-11-07T03:00:00Z", "end": "2010-11-08T04:00:00Z"}),
        "America/St_Johns",
        &["2010-11-07T03:00Z", "2010-11-08T03:30Z", "2010-11-08T04:00Z"],
    );
    // Midnight itself was left out.
    cuts(
        "daily",
        from_to("2018-11-03", "2018-11-05"),
        "America/Sao_Paulo",
        &["2018-11-03T03:00Z", "2018-11-04T03:00Z", "2018-11-05T02:00Z"],
    );
}

#[test]
fn too_many_buckets_are_refused_with_both_numbers() {
    for (interval, timeframe) in [
        ("minutely", from_to("0000-01-01", "9999-12-31T23:59:59.999")),
        ("every_1_minutes", from_to("2020-01-01", "2020-01-08")),
        ("hourly", json!("this_10001_hours")),
        ("daily", from_to("1990-01-01", "2020-01-01")),
    ] {
        let params = json!({"interval": interval, "timeframe": timeframe});
        let refusal = counted(&params, NOW).expect_err(&params.to_string());
        assert_eq!(refusal.code, ErrorCode::TooManyBuckets, "{params}");
        assert!(refusal.message.contains("the limit is 10000"), "{}", refusal.message);
        assert!(refusal.message.contains(interval), "{}", refusal.message);
    }
    let params = json!({"interval": "hourly", "timeframe": "previous_10000_hours"});
    assert_eq!(counted(&params, NOW).unwrap().buckets.len(), 10_000);
}

#[test]
fn what_is_no_interval_is_refused_with_what_was_given() {
    for interval in
        ["every_0_days", "every_day", "every_days", "every_2_moons", "every_-1_days", "fortnightly", "", "every_"]
    {
        let params = json!({"interval": interval, "timeframe": "today"});
        let refusal = counted(&params, NOW).expect_err(&params.to_string());
        assert_eq!(refusal.code, ErrorCode::InvalidParameter, "{params}");
        assert!(refusal.message.contains(&format!("'{interval}'")), "{}", refusal.message);
    }
    let refusal = counted(&json!({"interval": "daily"}), NOW).unwrap_err();
    assert_eq!(refusal.message, "'interval' needs a 'timeframe'");
}

const ZONES: &[&str] = &[
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Europe/Dublin",
    "Africa/Casablanca",
    "America/Toronto",
    "Asia/Gaza",
    "Antarctica/Troll",
    "Africa/Monrovia",
    "Europe/Amsterdam",
    "Pacific/Kwajalein",
    "America/Havana",
    "-28800",
    "20700",
];
const INTERVALS: &[&str] = &[
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "yearly",
    "every_7_minutes",
    "every_5_hours",
    "every_3_days",
    "every_2_weeks",
    "every_5_months",
    "every_2_years",
];

fn buckets(interval: &str, span: Span, zone: &str, max: usize) -> Result<Vec<Span>, protocol::Refusal> {
    let limits = QueryLimits { buckets_max: max, ..QueryLimits::default() };
    let zone = Zone::parse(Some(&json!(zone))).unwrap();
    crate::interval::buckets(interval, span, &zone, &limits)
}

/// The cuts by looking at the local clock minute by minute.
fn cuts_by_minutes(interval: &str, span: Span, zone: &TimeZone) -> Vec<Timestamp> {
    let local = |at: i64| zone.to_datetime(jiff::Timestamp::from_millisecond(at).unwrap());
    let mut latest_day = local(span.start.millis()).date();
    // The latest day that has begun, also where the clock went back over midnight.
    for back in 0..180 {
        latest_day = latest_day.max(local(span.start.millis() - back * 60_000).date());
    }
    let mut cuts = Vec::new();
    let mut at = span.start.millis() + 60_000;
    while at < span.end.millis() {
        let (before, after) = (local(at - 60_000), local(at));
        let whole = after.minute() == 0;
        let hour = (before.date(), before.hour()) != (after.date(), after.hour());
        if match interval {
            "hourly" => whole || hour,
            _ => after.date() > latest_day,
        } {
            cuts.push(Timestamp::from_millis(at));
        }
        latest_day = latest_day.max(after.date());
        at += 60_000;
    }
    cuts
}

proptest! {
    #[test]
    fn buckets_touch_are_in_order_never_empty_and_cover_the_timeframe(
        start in at("1880-01-01").millis()..at("2100-01-01").millis(),
        length in 1_i64..400 * 86_400_000,
        zone in prop::sample::select(ZONES),
        interval in prop::sample::select(INTERVALS),
    ) {
        let span = Span { start: Timestamp::from_millis(start), end: Timestamp::from_millis(start + length) };
        let Ok(buckets) = buckets(interval, span, zone, 2_000) else { return Ok(()) };
        prop_assert!(buckets.len() <= 2_000);
        prop_assert_eq!(buckets.first().map(|first| first.start), Some(span.start));
        prop_assert_eq!(buckets.last().map(|last| last.end), Some(span.end));
        prop_assert!(buckets.iter().all(|bucket| bucket.start < bucket.end), "{:?}", buckets);
        prop_assert!(buckets.windows(2).all(|pair| pair[0].end == pair[1].start), "{:?}", buckets);
    }

    #[test]
    fn a_timeframe_cut_in_two_has_the_same_boundaries(
        start in at("1880-01-01").millis()..at("2100-01-01").millis(),
        lengths in (1_i64..200 * 86_400_000, 1_i64..200 * 86_400_000),
        zone in prop::sample::select(ZONES),
        interval in prop::sample::select(&INTERVALS[..6]),
    ) {
        let start = Timestamp::from_millis(start);
        let middle = start.plus_millis(lengths.0);
        let end = middle.plus_millis(lengths.1);
        let Ok(whole) = buckets(interval, Span { start, end }, zone, 2_000) else { return Ok(()) };
        let mut parts = buckets(interval, Span { start, end: middle }, zone, 2_000).unwrap();
        parts.extend(buckets(interval, Span { start: middle, end }, zone, 2_000).unwrap());
        let mut parts: Vec<Timestamp> = parts.iter().map(|span| span.start).collect();
        if !whole.iter().any(|span| span.start == middle) {
            parts.retain(|at| *at != middle);
        }
        prop_assert_eq!(whole.iter().map(|span| span.start).collect::<Vec<_>>(), parts);
    }

    #[test]
    fn hours_and_days_are_those_that_the_local_clock_shows(
        minute in at("1973-01-01").millis() / 60_000..at("2037-01-01").millis() / 60_000,
        days in 1_i64..9,
        zone in prop::sample::select(&ZONES[..16]),
        interval in prop::sample::select(&["hourly", "daily"][..]),
    ) {
        let start = Timestamp::from_millis(minute * 60_000);
        check_by_minutes(interval, start, days, zone)?;
    }

    #[test]
    fn so_they_are_around_changes_of_the_clock(
        after in at("1973-01-01").millis()..at("2037-01-01").millis(),
        zone in prop::sample::select(&ZONES[1..16]),
        interval in prop::sample::select(&["hourly", "daily"][..]),
    ) {
        let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
        let after = jiff::Timestamp::from_millisecond(after).unwrap();
        let Some(change) = tz.following(after).next() else { return Ok(()) };
        let start = Timestamp::from_millis(change.timestamp().as_millisecond() - 86_400_000);
        check_by_minutes(interval, start, 3, zone)?;
    }
}

fn check_by_minutes(interval: &str, start: Timestamp, days: i64, zone: &str) -> Result<(), TestCaseError> {
    let span = Span { start, end: start.plus_millis(days * 86_400_000) };
    let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
    let found: Vec<Timestamp> =
        buckets(interval, span, zone, 10_000).unwrap().iter().skip(1).map(|span| span.start).collect();
    prop_assert_eq!(found, cuts_by_minutes(interval, span, &tz), "{} {} {:?}", zone, interval, span);
    Ok(())
}
