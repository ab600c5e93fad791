//! Reads what the browser hands over: one array of numbers and one text, so that no JSON is parsed in wasm and nothing
//! but two copies crosses the border. `npm/charts/src/plan.ts` writes it.
//!
//! Numbers: chart (0 chosen, 1 line, 2 bar, 3 metric), width, height, theme (0 light, 1 dark), axis (0 none, 1 time,
//! 2 categories), series `s`, places `n`, offsets `o`; then `o` pairs (from ms, seconds east); then for a time axis `n`
//! starts and the end of the last in ms; then `s` times `n` values, not-a-number for none.
//! Text, parted by U+001F (which names can't hold, as the writer replaces controls): title, for categories `n` names,
//! then `s` names of series.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::{Axis, ChartType, Input, Options, Series, Theme, Zone, cast};

/// What parts the texts.
pub const SEPARATOR: char = '\u{1f}';

/// Reads an answer and how to draw it. Missing numbers read as none and missing texts as empty.
#[must_use]
pub fn read(numbers: &[f64], text: &str) -> (Input, Options) {
    // Every name has its separator, so there are no more names than bytes.
    let length = text.len() + 1;
    let mut numbers = Words(numbers);
    let mut texts = text.split([SEPARATOR]).map(ToOwned::to_owned);
    let mut text = || texts.next().unwrap_or_default();
    let chart = match cast::count(numbers.one()) {
        1 => Some(ChartType::Line),
        2 => Some(ChartType::Bar),
        3 => Some(ChartType::Metric),
        _ => None,
    };
    let (width_px, height_px) = (numbers.one(), numbers.one());
    let theme = if numbers.one() == 1.0 { Theme::Dark } else { Theme::Light };
    let kind = cast::count(numbers.one());
    let (columns, places, offsets) =
        (cast::count(numbers.one()), cast::count(numbers.one()), cast::count(numbers.one()));
    let mut zone = Zone::default();
    for _ in 0..offsets.min(numbers.0.len()) {
        zone.offsets.push((numbers.one(), numbers.one()));
    }
    let title = text();
    let axis = match kind {
        1 => Axis::Time { starts_ms: numbers.many(places), end_ms: numbers.one() },
        2 => {
            let mut names = Vec::new();
            for _ in 0..places.min(length) {
                names.push(text());
            }
            Axis::Categories(names)
        }
        _ => Axis::None,
    };
    let mut series = Vec::new();
    for _ in 0..columns.min(length) {
        series.push(Series { name: text(), values: numbers.many(places) });
    }
    (Input { axis, series }, Options { chart, title, width_px, height_px, theme, zone })
}

/// Numbers that are still to be read.
struct Words<'a>(&'a [f64]);

impl Words<'_> {
    fn one(&mut self) -> f64 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => f64::NAN,
        }
    }

    fn many(&mut self, count: usize) -> Vec<f64> {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken.to_vec()
    }
}
