//! Intervals: a timeframe cut into buckets that touch, in order, none empty and none left out.
//!
//! Apart from timeframes because the number of buckets is what a query costs; it is limited here before they are made.

use protocol::limits::QueryLimits;
use protocol::{ErrorCode, Refusal, Timestamp};

use crate::plan::Span;
use crate::timeframe::counted;
use crate::zone::{Unit, Zone, shifted, shifted_local};
use crate::{invalid, shown};

/// How a timeframe is cut.
enum Interval {
    /// At the boundaries of the calendar.
    Named(Unit),
    /// Every so many units, counted from the start of the timeframe.
    Every(i64, Unit),
}

/// The buckets of `span`. The first and the last of a named interval are cut to it, as is the last of the others.
pub(crate) fn buckets(text: &str, span: Span, zone: &Zone, limits: &QueryLimits) -> Result<Vec<Span>, Refusal> {
    let interval = parse(text.trim())?;
    let (Interval::Named(unit) | Interval::Every(_, unit)) = interval;
    let count = if let Interval::Every(count, _) = interval { count } else { 1 };
    let length_ms = span.end.millis() - span.start.millis();
    let about = usize::try_from(length_ms / unit.nominal_ms().saturating_mul(count)).unwrap_or(usize::MAX);
    let max = limits.buckets_max;
    let too_many = || {
        let message =
            format!("interval '{text}' cuts the timeframe into about {} buckets, the limit is {max}", about + 1);
        Refusal::new(ErrorCode::TooManyBuckets, message)
    };
    // Days of 23 hours make a few more than this says, never half as many.
    if about / 2 > max {
        return Err(too_many());
    }
    let mut buckets = Vec::new();
    let mut start = span.start;
    for cut in cuts(&interval, span.start, zone).take_while(|cut| *cut < span.end) {
        // Days that a zone left out make no bucket.
        if cut > start {
            buckets.push(Span { start, end: cut });
            start = cut;
        }
        if buckets.len() >= max {
            return Err(too_many());
        }
    }
    buckets.push(Span { start, end: span.end });
    if buckets.len() > max {
        return Err(too_many());
    }
    Ok(buckets)
}

fn parse(text: &str) -> Result<Interval, Refusal> {
    let named = match text {
        "minutely" => Some(Unit::Minute),
        "hourly" => Some(Unit::Hour),
        "daily" => Some(Unit::Day),
        "weekly" => Some(Unit::Week),
        "monthly" => Some(Unit::Month),
        "yearly" => Some(Unit::Year),
        _ => None,
    };
    if let Some(unit) = named {
        return Ok(Interval::Named(unit));
    }
    match text.strip_prefix("every_").filter(|rest| rest.contains('_')).and_then(counted) {
        Some((0, _)) => Err(invalid(format!("interval '{}' must have a number of at least 1", shown(text)))),
        Some((count, unit)) => Ok(Interval::Every(count, unit)),
        None => Err(invalid(format!(
            "unknown interval '{}'; there are minutely, hourly, daily, weekly, monthly, yearly and every_N_ with \
             minutes, hours, days, weeks, months or years",
            shown(text)
        ))),
    }
}

/// The instants after `start` at which a bucket ends, ascending, until the calendar ends.
fn cuts<'a>(interval: &Interval, start: Timestamp, zone: &'a Zone) -> Box<dyn Iterator<Item = Timestamp> + 'a> {
    match *interval {
        Interval::Named(unit) if unit.is_clock() => {
            Box::new(std::iter::successors(Some(zone.next_clock_start(unit, start)), move |at| {
                Some(zone.next_clock_start(unit, *at)).filter(|next| next > at)
            }))
        }
        Interval::Named(unit) => {
            let first = zone.first_day(unit, start);
            Box::new(
                (1..)
                    .map_while(move |index| shifted(first?, unit, index))
                    .map(move |first_day| zone.day_start(first_day)),
            )
        }
        Interval::Every(count, unit) if unit.is_clock() => {
            let step_ms = unit.nominal_ms().saturating_mul(count);
            Box::new(std::iter::successors(Some(start.plus_millis(step_ms)), move |at| {
                Some(at.plus_millis(step_ms)).filter(|next| next > at)
            }))
        }
        Interval::Every(count, unit) => {
            // From the start each time, so that the 31st doesn't become the 28th for good after a February.
            let local = zone.local(start);
            Box::new(
                (1_i64..)
                    .map_while(move |index| shifted_local(local, unit, index.checked_mul(count)?))
                    .map(move |local| zone.reached(local)),
            )
        }
    }
}
