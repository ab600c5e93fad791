//! What a picture is made of: an answer reduced to one axis and columns of numbers.
//!
//! Both readers of answers (`npm/charts/src/answer.ts` in the browser, `native/answer.rs` on the server) end here, so
//! that no shape of JSON is known to the scene.

use alloc::string::String;
use alloc::vec::Vec;

use super::cast::trunc;

/// Which kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartType {
    /// Values over time, joined.
    Line,
    /// Values side by side.
    Bar,
    /// One number.
    Metric,
}

/// What values belong to.
#[derive(Debug, Clone, PartialEq)]
pub enum Axis {
    /// Nothing: there is one value.
    None,
    /// Buckets of time, in order.
    Time {
        /// When each bucket begins, in milliseconds since 1970.
        starts_ms: Vec<f64>,
        /// When the last one ends. A bucket shorter than the one before it is still being filled.
        end_ms: f64,
    },
    /// Named groups, in the order of the answer.
    Categories(Vec<String>),
}

impl Axis {
    /// Number of places for values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::None => 1,
            Self::Time { starts_ms, .. } => starts_ms.len(),
            Self::Categories(names) => names.len(),
        }
    }

    /// Whether there is no place for a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One value per place of the axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// For the legend; may be empty when it is the only series.
    pub name: String,
    /// Not-a-number where there is no value; so are missing ones at the end.
    pub values: Vec<f64>,
}

/// An answer, ready to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// What values belong to.
    pub axis: Axis,
    /// The values.
    pub series: Vec<Series>,
}

impl Input {
    /// The kind of picture that is drawn when `asked` for: a line needs time, a metric needs no groups.
    #[must_use]
    pub fn chart(&self, asked: Option<ChartType>) -> ChartType {
        match (&self.axis, asked) {
            (Axis::None, _) => ChartType::Metric,
            (Axis::Time { .. }, Some(ChartType::Metric)) if self.series.len() == 1 => ChartType::Metric,
            (Axis::Time { .. }, Some(ChartType::Bar)) | (Axis::Categories(_), _) => ChartType::Bar,
            (Axis::Time { .. }, _) => ChartType::Line,
        }
    }

    /// The value at a place; not-a-number when there is none or it isn't finite.
    #[must_use]
    pub fn at(&self, series: usize, index: usize) -> f64 {
        let value = self.series.get(series).and_then(|one| one.values.get(index)).copied().unwrap_or(f64::NAN);
        // Beyond this, differences overflow; no count or sum of money comes near.
        if value.is_finite() { super::cast::within(value, -1e300, 1e300) } else { f64::NAN }
    }

    /// Least and greatest value; none when there is no number.
    #[must_use]
    pub fn extent(&self) -> Option<(f64, f64)> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for series in 0..self.series.len() {
            for index in 0..self.axis.len() {
                let value = self.at(series, index);
                if value < low {
                    low = value;
                }
                if value > high {
                    high = value;
                }
            }
        }
        (low <= high).then_some((low, high))
    }

    /// Whether there is anything to draw.
    #[must_use]
    pub fn has_number(&self) -> bool {
        self.extent().is_some()
    }

    /// Whether every value is a whole number, so that ticks between them would be nonsense.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        (0..self.series.len())
            .all(|series| (0..self.axis.len()).map(|index| self.at(series, index)).all(|v| v.is_nan() || trunc(v) == v))
    }

    /// The number of a metric: the value, or the newest bucket's.
    #[must_use]
    pub fn metric(&self) -> f64 {
        (0..self.axis.len()).rev().map(|index| self.at(0, index)).find(|value| !value.is_nan()).unwrap_or(f64::NAN)
    }

    /// How long the first bucket of time is, in milliseconds; 0 on another axis.
    #[must_use]
    pub fn bucket_ms(&self) -> f64 {
        let Axis::Time { starts_ms, end_ms } = &self.axis else { return 0.0 };
        match starts_ms.as_slice() {
            [first, second, ..] => second - first,
            [only] => end_ms - only,
            [] => 0.0,
        }
    }

    /// Whether the last bucket of time is shorter than the one before it, so that its value is still growing.
    /// Calendar months and days of a change to summer time differ by at most a tenth.
    #[must_use]
    pub fn is_last_incomplete(&self) -> bool {
        let Axis::Time { starts_ms, end_ms } = &self.axis else { return false };
        match starts_ms.as_slice() {
            [.., before, last] => end_ms - last < (last - before) * 0.895,
            _ => false,
        }
    }
}
