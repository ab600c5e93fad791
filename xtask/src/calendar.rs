//! Turns milliseconds since 1970 into the text forms that events and file names need.
//!
//! Thirty lines instead of a time library, because everything here is UTC and xtask must compile fast.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 86_400_000;
/// Milliseconds of an hour.
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// Milliseconds since 1970, now.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-11-23T18:56:09.042Z`.
pub(crate) fn rfc3339(ms: u64) -> String {
    let (hour, minute) = (ms % DAY_MS / HOUR_MS, ms % HOUR_MS / 60_000);
    let (second, milli) = (ms % 60_000 / 1_000, ms % 1_000);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", date(ms))
}

/// `2026-11-23`.
pub(crate) fn date(ms: u64) -> String {
    // Days are counted from 1 March of year 0, so that the leap day is the last of its year
    // (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let days = ms / DAY_MS + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Day of the week, 0 for Monday.
pub(crate) fn weekday(ms: u64) -> u64 {
    // 1 January 1970 was a Thursday.
    (ms / DAY_MS + 3) % 7
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, date, rfc3339, weekday};

    #[test]
    fn dates_are_right_around_leap_days() {
        for (days, text) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_782, "2024-02-29"),
            (20_088, "2024-12-31"),
            (20_780, "2026-11-23"),
        ] {
            assert_eq!(date(days * DAY_MS), text, "{days}");
        }
    }

    #[test]
    fn times_have_milliseconds_and_a_z() {
        assert_eq!(rfc3339(20_780 * DAY_MS + 68_169_042), "2026-11-23T18:56:09.042Z");
    }

    #[test]
    fn the_23rd_of_november_2026_is_a_monday() {
        assert_eq!(weekday(20_780 * DAY_MS), 0);
    }
}
