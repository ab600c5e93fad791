//! Points in time, to the millisecond, in UTC.
//!
//! Parsing and printing are here rather than in a calendar crate because the collector runs them at the edge, where
//! a time zone database would be most of the program. Zones and calendar units belong to `query`.

use std::fmt;
use std::str::FromStr;

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970-01-01T00:00:00Z, within the years 0 to 9999.
///
/// Wire form: RFC 3339 with three digits of fraction and `Z` (`2020-01-01T00:00:00.000Z`). Parsing also takes what
/// Keen's clients send: any number of fraction digits (cut to milliseconds), an offset (`+01:00`, `+0100`, `+01`), a
/// space in place of `T`, no zone at all (UTC), or a date alone (midnight UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 8601 time between the years 0 and 9999")]
pub struct TimeError;

impl Timestamp {
    /// 0000-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// From milliseconds since 1970, held within [`Timestamp::MIN`] and [`Timestamp::MAX`].
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < Self::MIN.0 {
            Self::MIN
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This time moved by `millis`, held within the range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Whole days since 1970-01-01, rounded down.
    #[must_use]
    pub const fn days(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse(text.as_bytes()).map(|(time, _)| time).ok_or(TimeError)
    }
}

/// Reads a time and says whether the text named its zone; without one a query's own time zone applies.
///
/// # Errors
/// When the text is not a time.
pub fn parse_with_zone(text: &str) -> Result<(Timestamp, bool), TimeError> {
    parse(text.as_bytes()).ok_or(TimeError)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.days());
        let ms = self.0.rem_euclid(DAY_MS);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        // Each event of a record has one, and `write!` with seven numbers takes longer than all else there is to write.
        let digit = |number: i64| b'0' + u8::try_from(number % 10).unwrap_or(0);
        if !(0..=9_999).contains(&year) {
            return write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000);
        }
        #[rustfmt::skip]
        let text = [
            digit(year / 1_000), digit(year / 100), digit(year / 10), digit(year), b'-',
            digit(month / 10), digit(month), b'-', digit(day / 10), digit(day), b'T',
            digit(hour / 10), digit(hour), b':', digit(minute / 10), digit(minute), b':',
            digit(second / 10), digit(second), b'.', digit(ms / 100), digit(ms / 10), digit(ms), b'Z',
        ];
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

crate::id::serde_by_text!(Timestamp);
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn parse(text: &[u8]) -> Option<(Timestamp, bool)> {
    let mut rest = text;
    let year = number(&mut rest, 4)?;
    expect(&mut rest, b"-")?;
    let month = number(&mut rest, 2)?;
    expect(&mut rest, b"-")?;
    let day = number(&mut rest, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let mut ms = days_from_civil(year, month, day).checked_mul(DAY_MS)?;
    if rest.is_empty() {
        return Some((Timestamp(ms), false));
    }
    expect(&mut rest, b"Tt ")?;
    let hour = number(&mut rest, 2)?;
    expect(&mut rest, b":")?;
    let minute = number(&mut rest, 2)?;
    let mut second = 0;
    let mut fraction_ms = 0;
    if rest.first() == Some(&b':') {
        expect(&mut rest, b":")?;
        second = number(&mut rest, 2)?;
        if matches!(rest.first(), Some(b'.' | b',')) {
            expect(&mut rest, b".,")?;
            fraction_ms = fraction(&mut rest)?;
        }
    }
    // A leap second is the last millisecond before the next minute: Unix time has no name for it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if second == 60 {
        (second, fraction_ms) = (59, 999);
    }
    ms += ((hour * 60 + minute) * 60 + second) * 1_000 + fraction_ms;
    let zone = zone_ms(&mut rest)?;
    if !rest.is_empty() {
        return None;
    }
    ms -= zone.unwrap_or(0);
    (Timestamp::MIN.0..=Timestamp::MAX.0).contains(&ms).then_some((Timestamp(ms), zone.is_some()))
}

/// Takes exactly `digits` decimal digits.
fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    head.iter().try_fold(0_i64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// Takes one byte that must be among `allowed`.
fn expect(rest: &mut &[u8], allowed: &[u8]) -> Option<u8> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    allowed.contains(first).then_some(*first)
}

/// Takes one or more digits of a fraction and gives whole milliseconds.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    if head.is_empty() {
        return None;
    }
    let padded = head.iter().copied().chain(std::iter::repeat(b'0')).take(3);
    Some(padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

/// Takes a zone, if one follows: its offset from UTC in milliseconds.
fn zone_ms(rest: &mut &[u8]) -> Option<Option<i64>> {
    let sign = match rest.first() {
        None => return Some(None),
        Some(b'Z' | b'z') => {
            expect(rest, b"Zz")?;
            return Some(Some(0));
        }
        Some(b'-') => -1,
        Some(b'+') => 1,
        Some(_) => return None,
    };
    expect(rest, b"+-")?;
    let hours = number(rest, 2)?;
    if rest.first() == Some(&b':') {
        expect(rest, b":")?;
    }
    let minutes = if rest.is_empty() { 0 } else { number(rest, 2)? };
    (hours <= 23 && minutes <= 59).then_some(Some(sign * (hours * 60 + minutes) * 60_000))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, by counting years from March so that the leap day is the
/// last of its year (the method of Howard Hinnant's `chrono`-compatible date algorithms).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keens_spellings_of_a_time_parse() {
        for (text, expected) in [
            ("2020-01-02T03:04:05.678Z", Some("2020-01-02T03:04:05.678Z")),
            ("2020-01-02T03:04:05.678000", Some("2020-01-02T03:04:05.678Z")), // PyPI keen: no zone
            ("2020-01-02T03:04:05.6789-08:00", Some("2020-01-02T11:04:05.678Z")),
            ("2020-01-02T03:04:05+0130", Some("2020-01-02T01:34:05.000Z")),
            ("2020-01-02 03:04:05", Some("2020-01-02T03:04:05.000Z")),
            ("2020-01-02T03:04Z", Some("2020-01-02T03:04:00.000Z")),
            ("2020-01-02", Some("2020-01-02T00:00:00.000Z")),
            ("2020-02-29T00:00:00Z", Some("2020-02-29T00:00:00.000Z")),
            ("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59.999Z")),
            ("2021-02-29T00:00:00Z", None),
            ("2020-13-01T00:00:00Z", None),
            ("2020-01-02T24:00:00Z", None),
            ("2020-01-02T03:04:05.Z", None),
            ("2020-01-02T03:04:05Zz", None),
            ("0000-01-01T00:00:00+01:00", None),
            ("last tuesday", None),
            ("", None),
        ] {
            let parsed = text.parse::<Timestamp>().ok().map(|time| time.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn only_a_named_zone_counts_as_one() {
        for (text, named) in
            [("2020-01-02T00:00:00Z", true), ("2020-01-02T00:00:00+01", true), ("2020-01-02T00:00:00", false)]
        {
            assert_eq!(parse_with_zone(text).map(|(_, zone)| zone), Ok(named), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(millis in Timestamp::MIN.0..=Timestamp::MAX.0) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        }

        #[test]
        fn no_text_makes_the_parser_fail_otherwise_than_by_saying_so(text in "\\PC{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
