//! Time zones and calendar units: when a unit of local time begins, as an instant.
//!
//! Apart from timeframes and intervals because both must agree on it, also on the days when clocks change. Two rules
//! do that: a day, week, month or year begins when the local clock first reaches its first midnight (or skips it);
//! an hour or a minute begins whenever the clock reads a whole one or jumps into another one. It must not know what
//! is asked.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp as JiffTimestamp};
use protocol::{Refusal, Timestamp};
use serde_json::Value;

use crate::{invalid, shown};

/// Seconds that an offset may have: a day either way. Real ones are within 14 hours.
const OFFSET_S_MAX: i32 = 86_400;

/// A unit of local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// 60 seconds.
    Minute,
    /// 60 minutes, except where a zone changes its clock by a part of an hour.
    Hour,
    /// Midnight to midnight.
    Day,
    /// Sunday to Saturday.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl Unit {
    /// The unit of a singular or plural name: `day`, `days`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name.strip_suffix('s').unwrap_or(name) {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// Milliseconds by the book; months and years are the longest.
    pub(crate) fn nominal_ms(self) -> i64 {
        const MINUTE_MS: i64 = 60_000;
        MINUTE_MS
            * match self {
                Self::Minute => 1,
                Self::Hour => 60,
                Self::Day => 24 * 60,
                Self::Week => 7 * 24 * 60,
                Self::Month => 31 * 24 * 60,
                Self::Year => 366 * 24 * 60,
            }
    }

    /// Whether it is counted on the clock rather than in the calendar.
    pub(crate) fn is_clock(self) -> bool {
        matches!(self, Self::Minute | Self::Hour)
    }

    /// `count` of these as a span of the calendar; none when too long to be one.
    fn span(self, count: i64) -> Option<Span> {
        match self {
            Self::Minute => Span::new().try_minutes(count),
            Self::Hour => Span::new().try_hours(count),
            Self::Day => Span::new().try_days(count),
            Self::Week => Span::new().try_weeks(count),
            Self::Month => Span::new().try_months(count),
            Self::Year => Span::new().try_years(count),
        }
        .ok()
    }

    /// The first day of the calendar unit that holds this day.
    fn first_day(self, day: Date) -> Option<Date> {
        match self {
            Self::Week => day.checked_add(Self::Day.span(-i64::from(day.weekday().to_sunday_zero_offset()))?).ok(),
            Self::Month => Some(day.first_of_month()),
            Self::Year => Some(day.first_of_year()),
            Self::Minute | Self::Hour | Self::Day => Some(day),
        }
    }
}

/// A time zone.
#[derive(Debug, Clone)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// The zone of a query's `timezone`: seconds east of UTC as a number or its text, or a name of the IANA database;
    /// UTC when absent.
    pub(crate) fn parse(given: Option<&Value>) -> Result<Self, Refusal> {
        let wrong = |given: &str| {
            invalid(format!(
                "timezone '{}' is neither seconds east of UTC within {OFFSET_S_MAX} nor the name of a time zone",
                shown(given)
            ))
        };
        match given {
            None | Some(Value::Null) => Ok(Self(TimeZone::UTC)),
            Some(Value::Number(number)) => {
                let text = number.to_string();
                Self::offset(&text).ok_or_else(|| wrong(&text))
            }
            Some(Value::String(text)) => {
                let text = text.trim();
                let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
                Self::offset(text).or_else(|| Self::named(text)).ok_or_else(|| wrong(text))
            }
            Some(other) => Err(wrong(&other.to_string())),
        }
    }

    fn offset(text: &str) -> Option<Self> {
        // A script may send 3600.0; other fractions are no offsets.
        let seconds: i32 = text.strip_suffix(".0").unwrap_or(text).parse().ok()?;
        let offset =
            Offset::from_seconds(seconds).ok().filter(|_| seconds.unsigned_abs() <= OFFSET_S_MAX.unsigned_abs());
        offset.map(|offset| Self(TimeZone::fixed(offset)))
    }

    fn named(text: &str) -> Option<Self> {
        // Only the compiled-in database: the machine's own could be of another year.
        TimeZoneDatabase::bundled().get(text).ok().map(Self)
    }

    /// What the local clock reads at an instant.
    pub(crate) fn local(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(instant(at))
    }

    /// The instant at which the local clock first reads this or more: the earlier of two readings, or the end of the
    /// gap that skips it. Later readings never give earlier instants.
    pub(crate) fn reached(&self, local: DateTime) -> Timestamp {
        let with = |offset: Offset| {
            offset.to_timestamp(local).unwrap_or(if local.year() > 0 { JiffTimestamp::MAX } else { JiffTimestamp::MIN })
        };
        timestamp(match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => with(offset),
            AmbiguousOffset::Fold { before, .. } => with(before),
            AmbiguousOffset::Gap { after, .. } => {
                let before_gap = with(after);
                self.0.following(before_gap).next().map_or(before_gap, |change| change.timestamp())
            }
        })
    }

    /// The first day of the calendar unit that holds `at`.
    pub(crate) fn first_day(&self, unit: Unit, at: Timestamp) -> Option<Date> {
        let first = unit.first_day(self.local(at).date())?;
        // Where a clock is set back over midnight the day that has begun goes on, though the date reads as before.
        Some(match shifted(first, unit, 1) {
            Some(next) if self.reached(midnight(next)) <= at => next,
            _ => first,
        })
    }

    /// The instant at which a day begins.
    pub(crate) fn day_start(&self, day: Date) -> Timestamp {
        self.reached(midnight(day))
    }

    /// The last instant at or before `at` at which a minute or hour of the local clock begins.
    pub(crate) fn clock_start(&self, unit: Unit, at: Timestamp) -> Timestamp {
        let unit_ms = unit.nominal_ms();
        let mut at = at.millis();
        loop {
            let start = at - (at + self.offset_ms(at)).rem_euclid(unit_ms);
            match self.0.preceding(instant_ms(at.saturating_add(1))).next() {
                Some(change) if change.timestamp().as_millisecond() > start => {
                    let change = change.timestamp().as_millisecond();
                    if self.begins(unit_ms, change) {
                        return Timestamp::from_millis(change);
                    }
                    at = change - 1;
                }
                _ => return Timestamp::from_millis(start),
            }
        }
    }

    /// The first instant after `at` at which a minute or hour of the local clock begins.
    pub(crate) fn next_clock_start(&self, unit: Unit, at: Timestamp) -> Timestamp {
        let unit_ms = unit.nominal_ms();
        let mut at = at.millis();
        loop {
            let next = at - (at + self.offset_ms(at)).rem_euclid(unit_ms) + unit_ms;
            match self.0.following(instant_ms(at)).next() {
                Some(change) if change.timestamp().as_millisecond() <= next => {
                    at = change.timestamp().as_millisecond();
                    if self.begins(unit_ms, at) {
                        return Timestamp::from_millis(at);
                    }
                }
                _ => return Timestamp::from_millis(next),
            }
        }
    }

    /// Whether a unit of the clock begins at a change of the clock: it reads a whole one, or another than before.
    fn begins(&self, unit_ms: i64, change: i64) -> bool {
        let after = change + self.offset_ms(change);
        let before = change - 1 + self.offset_ms(change - 1);
        after.rem_euclid(unit_ms) == 0 || after.div_euclid(unit_ms) != before.div_euclid(unit_ms)
    }

    fn offset_ms(&self, at: i64) -> i64 {
        i64::from(self.0.to_offset(instant_ms(at)).seconds()) * 1_000
    }
}

/// The day `count` units later, or earlier when negative; none outside the calendar.
pub(crate) fn shifted(day: Date, unit: Unit, count: i64) -> Option<Date> {
    day.checked_add(unit.span(count)?).ok()
}

/// The clock reading `count` calendar units later; a day that a month lacks becomes its last.
pub(crate) fn shifted_local(local: DateTime, unit: Unit, count: i64) -> Option<DateTime> {
    local.checked_add(unit.span(count)?).ok()
}

/// A protocol time that stands for a reading of a clock rather than an instant.
pub(crate) fn reading(at: Timestamp) -> DateTime {
    Offset::UTC.to_datetime(instant(at))
}

fn midnight(day: Date) -> DateTime {
    day.at(0, 0, 0, 0)
}

/// Held within what the calendar can express: its last day is the 30th of December 9999.
fn instant(at: Timestamp) -> JiffTimestamp {
    instant_ms(at.millis())
}

fn instant_ms(millis: i64) -> JiffTimestamp {
    JiffTimestamp::from_millisecond(millis).unwrap_or(if millis > 0 { JiffTimestamp::MAX } else { JiffTimestamp::MIN })
}

fn timestamp(instant: JiffTimestamp) -> Timestamp {
    Timestamp::from_millis(instant.as_millisecond())
}
