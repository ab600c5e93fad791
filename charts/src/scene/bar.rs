//! Values side by side as bars from zero, grouped when there are several series.
//!
//! Bars stand while their names fit beneath them and lie when they don't, because names turned on their side or cut to
//! three letters can't be read. Buckets of time always stand.

use alloc::string::String;
use alloc::vec::Vec;

use super::calendar::{self, Zone};
use super::cast::{ceil, floor};
use super::frame::{Frame, LABEL, LINE};
use super::input::{Axis, Input};
use super::text::clean;
use super::ticks::Scale;
use super::{cast, theme};

/// Least height of a place whose bars lie, in pixels: a line of text and its gap.
const ROW_MIN: f64 = 17.0;
/// Widest bar, in pixels; wider ones look like areas.
const BAR_MAX: f64 = 64.0;

/// Draws bars.
pub(super) fn draw(frame: &mut Frame<'_>, input: &Input, title: &str, zone: &Zone) {
    let Some((low, high)) = input.extent() else { return };
    frame.title(title);
    frame.legend(&input.series.iter().map(|series| clean(&series.name)).collect::<Vec<_>>());
    let names: Vec<String> = match &input.axis {
        Axis::Categories(names) => names.iter().map(|name| clean(name)).collect(),
        _ => Vec::new(),
    };
    let widest = names.iter().map(|name| frame.label_width(name)).fold(0.0, f64::max);
    // 40 px go to the labels of values.
    let slot = (frame.width() - 40.0).max(1.0) / cast::real(input.axis.len());
    let row = (frame.height() - LINE).max(1.0) / cast::real(input.axis.len());
    if widest + 8.0 > slot && row >= ROW_MIN {
        lying(frame, input, &names, widest, (low, high));
    } else {
        standing(frame, input, &names, widest, (low, high), zone);
    }
}

fn standing(frame: &mut Frame<'_>, input: &Input, names: &[String], widest: f64, (low, high): (f64, f64), zone: &Zone) {
    let has_context = matches!(input.axis, Axis::Time { .. }) && frame.height() >= 90.0;
    frame.bottom -= LINE * (if has_context { 2.0 } else { 1.0 }) + 2.0;
    let scale = frame.values(low, high, true, input.is_whole());
    let slots = Slots::new(frame.left, frame.width(), input);
    let (bottom, height) = (frame.bottom, frame.height());
    let y = |value: f64| bottom - scale.at(value) * height;
    let base = y(0.0);
    for (series, index, value) in input.each() {
        let (begin, wide) = slots.bar(index, series);
        let top = y(value);
        mark(frame, (series, index), (begin, top.min(base), wide, (top - base).abs()));
    }
    frame.rule(0.0, &[frame.left, floor(base) + 0.5, frame.right, floor(base) + 0.5]);
    named(frame, &slots, names, widest);
    times(frame, &slots, input, zone, has_context);
}

fn lying(frame: &mut Frame<'_>, input: &Input, names: &[String], widest: f64, (low, high): (f64, f64)) {
    let gutter = widest.min(frame.width() * 0.42);
    let edge = frame.left + gutter;
    frame.left = edge + 8.0;
    frame.bottom -= LINE + 2.0;
    let right = frame.right;
    // Half a label of the greatest value stands to the right of the plot.
    frame.right -= 12.0;
    let steps_max = cast::within(floor(frame.width() / 70.0), 2.0, 6.0);
    let scale = Scale::nice(low, high, true, input.is_whole(), steps_max);
    let (left, width) = (frame.left, frame.width());
    let x = |value: f64| left + scale.at(value) * width;
    for (value, label) in scale.ticks() {
        let at = floor(x(value)) + 0.5;
        frame.rule(value, &[at, frame.top, at, frame.bottom]);
        frame.label(&label, 0.5, at, frame.bottom + LINE, 70.0);
    }
    let slots = Slots::new(frame.top, frame.height(), input);
    let base = x(0.0);
    for (series, index, value) in input.each() {
        let (begin, tall) = slots.bar(index, series);
        let end = x(value);
        mark(frame, (series, index), (base.min(end), begin, (end - base).abs(), tall));
    }
    frame.rule(0.0, &[floor(base) + 0.5, frame.top, floor(base) + 0.5, frame.bottom]);
    for (index, name) in names.iter().enumerate() {
        frame.label(name, 1.0, edge, slots.middle(index) + LABEL * 0.36, gutter + 1.0);
    }
    frame.right = right;
}

/// One bar, (x, y, width, height), of (series, place).
fn mark(frame: &mut Frame<'_>, (series, index): (usize, usize), (x, y, width, height): (f64, f64, f64, f64)) {
    frame.painter.rect(theme::series(series), 1.0, x, y, width, height);
    frame.painter.hit(series, index, x, y, width, height);
}

/// Names beneath standing bars: all if they fit, else every so many with room for some words.
fn named(frame: &mut Frame<'_>, slots: &Slots, names: &[String], widest: f64) {
    let stride = ceil((widest.min(100.0) + 8.0) / slots.slot).max(1.0);
    let room = (stride * slots.slot - 8.0).max(24.0);
    let mut free = 0.0;
    for (index, name) in names.iter().enumerate().step_by(cast::count(stride)) {
        free = frame.label_after(free, name, slots.middle(index), frame.bottom + LINE, room);
    }
}

/// Round times beneath the bars of the buckets that they begin.
fn times(frame: &mut Frame<'_>, slots: &Slots, input: &Input, zone: &Zone, has_context: bool) {
    let Axis::Time { starts_ms, .. } = &input.axis else { return };
    let ([first, ..], [.., last]) = (starts_ms.as_slice(), starts_ms.as_slice()) else { return };
    let ticks = calendar::ticks(*first, *last, input.bucket_ms(), slots.span / 64.0, zone);
    let mut index = 0;
    frame.times(&ticks, has_context, |ms| {
        while starts_ms.get(index).is_some_and(|start| *start < ms) {
            index += 1;
        }
        slots.middle(index.min(starts_ms.len() - 1))
    });
}

/// How a side of the plot is divided among places and, within a place, among series.
struct Slots {
    begin: f64,
    span: f64,
    slot: f64,
    bar: f64,
    group: f64,
}

impl Slots {
    fn new(begin: f64, span: f64, input: &Input) -> Self {
        let slot = span / cast::real(input.axis.len().max(1));
        let series = cast::real(input.series.len().max(1));
        let bar = (slot * 0.76 / series).min(BAR_MAX);
        Self { begin, span, slot, bar, group: bar * series }
    }

    fn middle(&self, index: usize) -> f64 {
        self.begin + (cast::real(index) + 0.5) * self.slot
    }

    /// Where a bar begins and how thick it is; neighbours in a group are a pixel apart when they are thick enough.
    fn bar(&self, index: usize, series: usize) -> (f64, f64) {
        let gap = if self.bar >= 6.0 && self.group > self.bar { 1.0 } else { 0.0 };
        (self.middle(index) - self.group / 2.0 + cast::real(series) * self.bar, self.bar - gap)
    }
}

impl Input {
    /// Every number with its series and place.
    fn each(&self) -> impl Iterator<Item = (usize, usize, f64)> {
        (0..self.series.len())
            .flat_map(move |series| (0..self.axis.len()).map(move |index| (series, index, self.at(series, index))))
            .filter(|(_, _, value)| !value.is_nan())
    }
}
