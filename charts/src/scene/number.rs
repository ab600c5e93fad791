//! Writes numbers for people: short, with separators, never a float's full tail.
//!
//! The standard library's float printing is 11 KB of wasm and prints what it has, not what one reads; this prints at
//! most the digits that a chart can show.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::cast;
use super::cast::{round, trunc};

/// Largest number written out in digits; above it the exponent form is shorter to read.
const PLAIN_MAX: f64 = 1e15;

/// Factors of ten that have a letter.
const UNITS: [(f64, &str); 5] = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, "")];

/// A number by itself: whole ones in full (`1,234,567`), others with up to three digits that matter (`12.35`, `0.004`),
/// very large and small ones as `1.2e30`; a dash for not-a-number.
#[must_use]
pub fn value(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "–".to_owned();
    }
    if size >= PLAIN_MAX || (size > 0.0 && size < 1e-6) {
        return exponent(value);
    }
    if trunc(value) == value || size >= 10_000.0 {
        return fixed(value, 0, true);
    }
    let mut decimals = 2;
    let mut scaled = size * 100.0;
    while scaled < 100.0 && decimals < 8 && size < 1.0 {
        scaled *= 10.0;
        decimals += 1;
    }
    fixed(value, decimals, true)
}

/// A number of an axis whose ticks are `step` apart and whose largest is `size_max`: all in one unit (`0.5M`, `1.0M`)
/// with the decimals that tell ticks apart.
#[must_use]
pub fn tick(value: f64, step: f64, size_max: f64) -> String {
    if size_max >= PLAIN_MAX || step < 1e-6 {
        return if value == 0.0 { "0".to_owned() } else { exponent(value) };
    }
    let (unit, letter) = UNITS
        .into_iter()
        .find(|(unit, _)| size_max >= unit * 10.0 || (*unit > 1e3 && size_max >= *unit))
        .unwrap_or((1.0, ""));
    let (mut decimals, mut scaled) = (0, step / unit);
    // Steps are 1, 2 or 5 times a power of ten, so one digit tells them apart.
    while scaled < 0.999 && decimals < 9 {
        scaled *= 10.0;
        decimals += 1;
    }
    let mut text = fixed(value / unit, decimals, false);
    if value != 0.0 {
        text.push_str(letter);
    } else {
        text = "0".to_owned();
    }
    text
}

/// With `decimals` digits after the point (without the zeros that end them, when `short`) and separators before it.
fn fixed(value: f64, decimals: u32, short: bool) -> String {
    let mut power = 1.0;
    for _ in 0..decimals {
        power *= 10.0;
    }
    let scaled = round(value.abs() * power);
    if scaled >= 1e18 {
        return exponent(value);
    }
    let mut rest = cast::whole(scaled);
    // From the last digit to the first.
    let mut digits = Vec::new();
    if value < 0.0 && rest > 0 {
        digits.push('−');
    }
    let sign = digits.len();
    for place in 0..decimals {
        let digit = rest % 10;
        if digit > 0 || !short || digits.len() > sign {
            digits.push(char_of(digit));
        }
        rest /= 10;
        if place + 1 == decimals && digits.len() > sign {
            digits.push('.');
        }
    }
    push_whole(&mut digits, rest, true);
    turned(digits, sign)
}

/// Digits of a whole number from the last to the first, in groups of three when asked.
fn push_whole(digits: &mut Vec<char>, mut rest: u64, grouped: bool) {
    let mut written = 0;
    while rest > 0 || written == 0 {
        if grouped && written > 0 && written % 3 == 0 {
            digits.push(',');
        }
        digits.push(char_of(rest % 10));
        rest /= 10;
        written += 1;
    }
}

/// The sign, which comes first, and then the rest backwards.
fn turned(digits: Vec<char>, sign: usize) -> String {
    let mut text = String::new();
    for c in digits.iter().take(sign).chain(digits.iter().skip(sign).rev()) {
        text.push(*c);
    }
    text
}

/// `1.2e30`.
fn exponent(value: f64) -> String {
    let (mut mantissa, mut power) = (value, 0_i32);
    while mantissa.abs() >= 9.95 && power < 400 {
        mantissa /= 10.0;
        power += 1;
    }
    while mantissa.abs() < 0.995 && mantissa != 0.0 && power > -400 {
        mantissa *= 10.0;
        power -= 1;
    }
    let mut text = fixed(mantissa, 1, true);
    text.push('e');
    text.push_str(&plain(i64::from(power)));
    text
}

fn char_of(digit: u64) -> char {
    char::from(b'0' + u8::try_from(digit).unwrap_or(0))
}

/// A whole number with at least two digits, as clocks show it.
pub(super) fn two(value: i64) -> String {
    let mut text = String::new();
    if (0..10).contains(&value) {
        text.push('0');
    }
    text.push_str(&plain(value));
    text
}

/// A whole number without separators, as years are written.
pub(super) fn plain(value: i64) -> String {
    let mut digits = Vec::new();
    if value < 0 {
        digits.push('−');
    }
    let sign = digits.len();
    push_whole(&mut digits, value.unsigned_abs(), false);
    turned(digits, sign)
}
