//! The few conversions between kinds of numbers, each with its bounds, so that no other file needs `as`.

/// A count as a real number; exact below 2^53.
pub(super) fn real(count: usize) -> f64 {
    count as f64
}

/// A number held within bounds, the lower one for not-a-number. Not `f64::clamp`, whose panic prints its bounds and so
/// brings 20 KB of float printing into the wasm.
pub(super) fn within(value: f64, low: f64, high: f64) -> f64 {
    value.max(low).min(high)
}

/// From here on every number is whole.
const ALL_WHOLE: f64 = 9_007_199_254_740_992.0;

/// The whole number towards zero. Like the three below it isn't the standard library's, which the browser's build does
/// without: `core` has no rounding.
pub(super) fn trunc(value: f64) -> f64 {
    if value.abs() < ALL_WHOLE { real_signed(signed(value)) } else { value }
}

/// The whole number at or below.
pub(super) fn floor(value: f64) -> f64 {
    let whole = trunc(value);
    if whole > value { whole - 1.0 } else { whole }
}

/// The whole number at or above.
pub(super) fn ceil(value: f64) -> f64 {
    -floor(-value)
}

/// The nearest whole number; halves go up.
pub(super) fn round(value: f64) -> f64 {
    floor(value + 0.5)
}

/// The whole part of a number that may be anything: not-a-number and negatives give 0, too large ones the largest.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is asked for"
)]
pub(super) fn count(value: f64) -> usize {
    value as usize
}

/// The whole part of a number without sign, up to 2^64.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is asked for"
)]
pub(super) fn whole(value: f64) -> u64 {
    value as u64
}

/// The whole part of a number with sign, towards zero.
#[allow(clippy::cast_possible_truncation, reason = "`as` saturates, which is what is asked for")]
pub(super) fn signed(value: f64) -> i64 {
    value as i64
}

/// A coordinate in the precision of the display list.
#[allow(clippy::cast_possible_truncation, reason = "a display list is in pixels, for which 24 bits are enough")]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

/// A count in a field of the display list.
#[allow(clippy::cast_possible_truncation, reason = "lists hold far fewer than 2^32 entries")]
pub(super) fn short(count: usize) -> u32 {
    count as u32
}

/// A number with sign as a real one; exact below 2^53.
pub(super) fn real_signed(value: i64) -> f64 {
    value as f64
}
