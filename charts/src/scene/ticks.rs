//! Where an axis of numbers begins and ends, and which round values it names.
//!
//! An axis ends at the next quarter of a step rather than the next step, as the rest would be empty paper.

use alloc::string::String;
use alloc::vec::Vec;

use super::cast::{ceil, floor, round};
use super::{cast, number};

/// An axis of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Least value.
    pub low: f64,
    /// Greatest value, above the least.
    pub high: f64,
    /// Between two ticks: 1, 2 or 5 times a power of ten.
    pub step: f64,
}

impl Scale {
    /// The smallest scale with at most about `steps_max` steps that holds `low..=high`, and zero when `zero` is
    /// asked for.
    /// Whole values never get ticks between them.
    #[must_use]
    pub fn nice(low: f64, high: f64, zero: bool, whole: bool, steps_max: f64) -> Self {
        let (mut low, mut high) = if zero { (low.min(0.0), high.max(0.0)) } else { (low, high) };
        // Values that differ by less than their own precision are one value, and one value has no scale of its own.
        let size = low.abs().max(high.abs());
        if high - low <= size * 1e-9 {
            if size < 1e-300 {
                (low, high) = (0.0, 1.0);
            } else {
                (low, high) = (low.min(low * 0.9).min(low * 1.1), high.max(high * 0.9).max(high * 1.1));
            }
        }
        let rough = (high - low) / steps_max.max(1.0);
        let mut power = 1.0;
        while power * 10.0 <= rough {
            power *= 10.0;
        }
        while power > rough && power > 1e-305 {
            power /= 10.0;
        }
        let mut step = power * 10.0;
        for factor in [1.0, 2.0, 5.0] {
            // A hair of room, as 0.30000000000000004 should still be three steps of 0.1.
            if power * factor >= rough * 0.999_999 {
                step = power * factor;
                break;
            }
        }
        if whole && step < 1.0 {
            step = 1.0;
        }
        let near = |value: f64| if (value - round(value)).abs() < 1e-6 { round(value) } else { value };
        let quarter = step / 4.0;
        let (low, high) = (floor(near(low / quarter)) * quarter, ceil(near(high / quarter)) * quarter);
        Self { low, high: if high > low { high } else { low + step }, step }
    }

    /// Every tick with its label, ascending.
    #[must_use]
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let size_max = self.low.abs().max(self.high.abs());
        // Ends are quarters of a step, so an eighth is room enough for what is lost in division.
        let first = ceil(self.low / self.step - 0.125);
        let count = cast::count(floor(self.high / self.step + 0.125) - first).min(40);
        (0..=count)
            .map(|index| (first + cast::real(index)) * self.step)
            .map(|value| (value, number::tick(value, self.step, size_max)))
            .collect()
    }

    /// Where `value` lies: 0 at the least, 1 at the greatest, held within both.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        cast::within((value - self.low) / (self.high - self.low), 0.0, 1.0)
    }
}
