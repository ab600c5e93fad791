//! Timeframes: which span of time a query is about.
//!
//! Apart from intervals because a timeframe is wanted without one. It must not know of buckets or of filters.

use jiff::civil::Date;
use protocol::{Refusal, Timestamp, time};
use serde_json::Value;

use crate::plan::Span;
use crate::zone::{Unit, Zone, reading, shifted};
use crate::{invalid, shown};

/// Digits of the number in a relative timeframe or an interval; enough for any span the calendar knows.
const COUNT_DIGITS_MAX: usize = 7;

/// The span of a query's `timeframe` at `now`.
pub(crate) fn span(given: &Value, zone: &Zone, now: Timestamp) -> Result<Span, Refusal> {
    match given {
        Value::Object(_) => absolute(given, zone, now),
        Value::String(text) => relative(text.trim(), zone, now),
        other => Err(invalid(format!(
            "timeframe must be a text such as 'this_7_days' or an object with 'start' and 'end', got {}",
            shown(&other.to_string())
        ))),
    }
}

fn absolute(given: &Value, zone: &Zone, now: Timestamp) -> Result<Span, Refusal> {
    let start = point(given, "start", zone)?.ok_or_else(|| invalid("timeframe needs 'start', an ISO 8601 time"))?;
    let end = point(given, "end", zone)?.unwrap_or(now);
    if start >= end {
        return Err(invalid(format!("timeframe's start {start} is not before its end {end}")));
    }
    Ok(Span { start, end })
}

fn point(given: &Value, name: &str, zone: &Zone) -> Result<Option<Timestamp>, Refusal> {
    let wrong = |given: &str| invalid(format!("timeframe's '{name}' must be an ISO 8601 time, got {}", shown(given)));
    match given.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let (at, zoned) = time::parse_with_zone(text.trim()).map_err(|_| wrong(text))?;
            Ok(Some(if zoned { at } else { zone.reached(reading(at)) }))
        }
        Some(other) => Err(wrong(&other.to_string())),
    }
}

fn relative(text: &str, zone: &Zone, now: Timestamp) -> Result<Span, Refusal> {
    let unknown = || {
        invalid(format!(
            "unknown timeframe '{}'; there are this_, previous_ and last_ with minutes, hours, days, weeks, months or \
             years (this_7_days, previous_month), today, yesterday and an object with 'start' and 'end'",
            shown(text)
        ))
    };
    let (until_now, count, unit) = match text {
        "today" => (true, 1, Unit::Day),
        "yesterday" => (false, 1, Unit::Day),
        _ => {
            let (which, rest) = text.split_once('_').ok_or_else(unknown)?;
            let until_now = match which {
                "this" => true,
                "previous" | "last" => false,
                _ => return Err(unknown()),
            };
            let (count, unit) = counted(rest).ok_or_else(unknown)?;
            (until_now, count, unit)
        }
    };
    if count == 0 {
        return Err(invalid(format!("timeframe '{text}' must have a number of at least 1")));
    }
    let back = if until_now { count - 1 } else { count };
    let (start, current) = starts(unit, back, zone, now)
        .ok_or_else(|| invalid(format!("timeframe '{text}' begins before the year 0, the first that is known")))?;
    let end = if until_now { now } else { current };
    // At the very start of a unit, and for a day that a zone left out, the span would be empty.
    Ok(Span { start, end: end.max(start.plus_millis(1)) })
}

/// The number and unit of `7_days`, or of `day`, which is one.
pub(crate) fn counted(text: &str) -> Option<(i64, Unit)> {
    let Some((digits, unit)) = text.split_once('_') else {
        // "this_days" could be any number of days.
        return Unit::from_name(text).filter(|_| !text.ends_with('s')).map(|unit| (1, unit));
    };
    let plain = digits.len() <= COUNT_DIGITS_MAX && digits.bytes().all(|digit| digit.is_ascii_digit());
    Some((digits.parse().ok().filter(|_| plain)?, Unit::from_name(unit)?))
}

/// The start of the unit `back` units before the current one, and the start of the current one.
fn starts(unit: Unit, back: i64, zone: &Zone, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    if unit.is_clock() {
        let current = zone.clock_start(unit, now);
        // Hours are hours that pass; where a zone moved its clock by half of one, the start goes back to a whole one.
        let start = current.millis() - back * unit.nominal_ms();
        return (start >= Timestamp::MIN.millis())
            .then(|| (zone.clock_start(unit, Timestamp::from_millis(start)), current));
    }
    let first = zone.first_day(unit, now)?;
    let start = shifted(first, unit, -back).filter(|start: &Date| start.year() >= 0)?;
    Some((zone.day_start(start), zone.day_start(first)))
}
