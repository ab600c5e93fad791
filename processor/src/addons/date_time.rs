//! `keen:date_time_parser`: the parts of a time as it was written, in its own offset.
//!
//! Days of the week are ISO's (Monday is 1), and so is the week. It must not know of time zones by name.

use protocol::Timestamp;
use protocol::row::Cell;

use super::{Fields, text};

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Days before the first of each month, of a year that is no leap year.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// The parts of an ISO 8601 time; without an offset it is UTC.
pub(super) fn fields(written: &str) -> Fields {
    parts(written).unwrap_or_default()
}

fn parts(written: &str) -> Option<Fields> {
    let instant: Timestamp = written.parse().ok()?;
    // The same without its offset is what the clock on the wall showed.
    let zone = written.get(10..)?.find(['+', '-', 'Z', 'z']).map_or(written.len(), |at| at + 10);
    let wall: Timestamp = written.get(..zone)?.parse().ok()?;
    let offset_min = (wall.millis() - instant.millis()) / 60_000;
    let shown = wall.to_string();
    let number = |from: usize, to: usize| shown.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let weekday = (wall.days() + 3).rem_euclid(7);
    let int = |name: &str, value: i64| (name.to_owned(), Cell::Int(value));
    let sign = if offset_min < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_min.abs() / 60, offset_min.abs() % 60);
    Some(vec![
        int("year", year),
        int("month", month),
        int("day_of_month", day),
        int("day_of_week", weekday + 1),
        text("day_of_week_string", *DAYS.get(usize::try_from(weekday).ok()?)?),
        int("week", week(year, month, day, weekday)?),
        int("hour", number(11, 13)?),
        int("minute", number(14, 16)?),
        int("second", number(17, 19)?),
        int("millisecond", number(20, 23)?),
        text("timezone_offset", format!("{sign}{hours:02}:{minutes:02}")),
    ])
}

/// The week by ISO 8601: the one of the year that has its Thursday.
fn week(year: i64, month: i64, day: i64, weekday: i64) -> Option<i64> {
    let before = *DAYS_BEFORE.get(usize::try_from(month - 1).ok()?)?;
    let ordinal = before + day + i64::from(month > 2 && is_leap(year));
    let thursday = ordinal - weekday + 3;
    let days = |year| 365 + i64::from(is_leap(year));
    Some(if thursday < 1 {
        (thursday + days(year - 1) - 1) / 7 + 1
    } else if thursday > days(year) {
        1
    } else {
        (thursday - 1) / 7 + 1
    })
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}
