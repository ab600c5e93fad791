//! Where an axis of time has its ticks, and what stands beneath them.
//!
//! Days and months begin at other instants in other zones, so ticks are found in local time and brought back. The zone
//! is a table of offsets, made by whoever knows zones (`Intl` in the browser, the caller on the server): a database of
//! time zones would be larger than the rest of the wasm.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::cast;
use super::number::{plain, two};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Instants beyond this many milliseconds from 1970 are drawn as if they were there (the bound of JavaScript's dates).
const INSTANT_MAX: f64 = 8.64e15;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Offsets from UTC over time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Zone {
    /// From this instant (ms since 1970) the offset is that many seconds east; ascending. Before the first its offset
    /// holds; empty is UTC.
    pub offsets: Vec<(f64, f64)>,
}

impl Zone {
    fn offset_ms(&self, instant: i64) -> i64 {
        let at = cast::real_signed(instant);
        let found = self.offsets.iter().rev().find(|(from, _)| *from <= at).or(self.offsets.first());
        found.map_or(0, |(_, seconds)| cast::signed(*seconds * 1_000.0).clamp(-DAY, DAY))
    }

    fn to_local(&self, instant: i64) -> i64 {
        instant + self.offset_ms(instant)
    }

    fn to_instant(&self, local: i64) -> i64 {
        let guess = local - self.offset_ms(local);
        local - self.offset_ms(guess)
    }
}

/// A named instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// Milliseconds since 1970.
    pub instant: i64,
    /// The time, or what changes from tick to tick.
    pub label: String,
    /// What it belongs to (a date under hours, a year under days), where that begins; else empty.
    pub context: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Milliseconds that divide a day.
    Part(i64),
    Days(i64),
    Months(i64),
}

/// Steps between ticks, ascending.
const STEPS: [Unit; 29] = [
    Unit::Part(SECOND),
    Unit::Part(5 * SECOND),
    Unit::Part(15 * SECOND),
    Unit::Part(30 * SECOND),
    Unit::Part(MINUTE),
    Unit::Part(2 * MINUTE),
    Unit::Part(5 * MINUTE),
    Unit::Part(10 * MINUTE),
    Unit::Part(15 * MINUTE),
    Unit::Part(30 * MINUTE),
    Unit::Part(HOUR),
    Unit::Part(2 * HOUR),
    Unit::Part(3 * HOUR),
    Unit::Part(6 * HOUR),
    Unit::Part(12 * HOUR),
    Unit::Days(1),
    Unit::Days(2),
    Unit::Days(7),
    Unit::Days(14),
    Unit::Months(1),
    Unit::Months(3),
    Unit::Months(6),
    Unit::Months(12),
    Unit::Months(24),
    Unit::Months(60),
    Unit::Months(120),
    Unit::Months(240),
    Unit::Months(600),
    Unit::Months(1_200),
];

impl Unit {
    fn about_ms(self) -> i64 {
        match self {
            Self::Part(ms) => ms,
            Self::Days(days) => days * DAY,
            Self::Months(months) => months * 30 * DAY,
        }
    }

    /// The last boundary at or before a local time.
    fn floor(self, local: i64) -> i64 {
        let day = local.div_euclid(DAY);
        match self {
            Self::Part(ms) => local.div_euclid(ms) * ms,
            // 1970-01-04 was a Sunday, with which Keen's weeks begin.
            Self::Days(days) if days >= 7 => ((day - 3).div_euclid(days) * days + 3) * DAY,
            Self::Days(days) => day.div_euclid(days) * days * DAY,
            Self::Months(months) => {
                let (year, month, _) = civil(day);
                month_start((year * 12 + month - 1).div_euclid(months) * months)
            }
        }
    }

    /// The boundary after the one at `local`.
    fn next(self, local: i64) -> i64 {
        match self {
            Self::Part(_) | Self::Days(_) => local + self.about_ms(),
            Self::Months(months) => {
                let (year, month, _) = civil(local.div_euclid(DAY));
                month_start(year * 12 + month - 1 + months)
            }
        }
    }
}

/// At most about `count_max` ticks within `low_ms..=high_ms` (milliseconds since 1970), ascending; none has a label
/// that needs more room than `13:45:10`. Each is at a round time in `zone`, and not before `every_ms` after the one
/// before it, so that buckets of a day get no hours.
#[must_use]
pub fn ticks(low_ms: f64, high_ms: f64, every_ms: f64, count_max: f64, zone: &Zone) -> Vec<Tick> {
    let instant = |ms: f64| cast::signed(cast::within(ms, -INSTANT_MAX, INSTANT_MAX));
    let (low, high) = (instant(low_ms), instant(high_ms));
    let spacing = (cast::real_signed(high) - cast::real_signed(low)) / count_max.max(1.0);
    // A tenth less, as February is shorter than a month and a day of summer time than a day.
    let least = spacing.max(every_ms.min(INSTANT_MAX) * 0.9);
    let fits = |unit: &&Unit| cast::real_signed(unit.about_ms()) >= least;
    let unit = STEPS.iter().find(fits).copied().unwrap_or_else(|| {
        let millennia = least / cast::real_signed(Unit::Months(12_000).about_ms());
        Unit::Months(12_000 * (cast::signed(millennia) + 1))
    });
    let mut found: Vec<Tick> = Vec::new();
    let mut local = unit.floor(zone.to_local(low));
    let mut context_before = String::new();
    for _ in 0..1_000 {
        let at = zone.to_instant(local);
        if at > high {
            break;
        }
        // An hour that a zone skips would come twice.
        if at >= low && found.last().is_none_or(|before| before.instant < at) {
            let (label, context) = words(unit, zone.to_local(at));
            let is_new = context != context_before;
            found.push(Tick { instant: at, label, context: if is_new { context.clone() } else { String::new() } });
            context_before = context;
        }
        local = unit.next(local);
    }
    found
}

/// The label of a local time and what it belongs to.
fn words(unit: Unit, local: i64) -> (String, String) {
    let (year, month, day) = civil(local.div_euclid(DAY));
    let name = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or_default();
    let date = || {
        let mut date = name.to_owned();
        date.push(' ');
        date.push_str(&plain(day));
        date
    };
    match unit {
        Unit::Part(ms) => {
            let within = local.rem_euclid(DAY);
            let mut clock = two(within / HOUR);
            clock.push(':');
            clock.push_str(&two(within / MINUTE % 60));
            if ms < MINUTE {
                clock.push(':');
                clock.push_str(&two(within / SECOND % 60));
            }
            (clock, date())
        }
        Unit::Days(_) => (date(), plain(year)),
        Unit::Months(months) if months < 12 => (name.to_owned(), plain(year)),
        Unit::Months(_) => (plain(year), String::new()),
    }
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). As in
/// `protocol::time`, which the browser's module can't link: it is built without the standard library.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Local time at which a month begins, counted from January of the year 0.
fn month_start(months: i64) -> i64 {
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468) * DAY
}
