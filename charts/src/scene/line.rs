//! Values over time as lines: one point per bucket, joined where buckets follow each other.
//!
//! A line has as many points as one can see: where several fall on one pixel column, the first, least, greatest and
//! last of them draw the same picture (min-max decimation), so a million points cost what a thousand do.

use alloc::vec::Vec;

use super::calendar::{self, Zone};
use super::cast::floor;
use super::frame::{Frame, LINE};
use super::input::{Axis, Input};
use super::text::clean;
use super::ticks::Scale;
use super::{cast, theme};

/// Room for one label of time, with the gap to the next.
const LABEL_ROOM: f64 = 64.0;

/// Draws lines; an axis that isn't of time draws nothing.
pub(super) fn draw(frame: &mut Frame<'_>, input: &Input, title: &str, zone: &Zone) {
    let Axis::Time { starts_ms, .. } = &input.axis else { return };
    let Some((low, high)) = input.extent() else { return };
    frame.title(title);
    frame.legend(&input.series.iter().map(|series| clean(&series.name)).collect::<Vec<_>>());
    let lines = if frame.height() < 90.0 { 1.0 } else { 2.0 };
    frame.bottom -= LINE * lines + 2.0;
    // From zero unless that would press the line flat against the top.
    let zero = (low >= 0.0 && low < high * 0.75) || (high <= 0.0 && high > low * 0.75) || low == high;
    let scale = frame.values(low, high, zero, input.is_whole());
    let span = Span::new(frame, starts_ms);
    let count_max = (span.right - span.left) / LABEL_ROOM;
    let ticks = calendar::ticks(span.first, span.last, input.bucket_ms(), count_max, zone);
    for tick in &ticks {
        let x = floor(span.x(cast::real_signed(tick.instant))) + 0.5;
        frame.painter.line(theme::AXIS, 1.0, 0.0, &[x, frame.bottom, x, frame.bottom + 4.0]);
    }
    frame.times(&ticks, lines > 1.0, |ms| span.x(ms));
    let is_dashed = input.is_last_incomplete();
    let is_filled = input.series.len() == 1 && scale.low <= 0.0 && scale.high >= 0.0;
    // The first series last, so that it lies on top.
    for series in (0..input.series.len()).rev() {
        one(frame, input, series, &span, starts_ms, &scale, Look { is_dashed, is_filled });
    }
}

/// Where times lie.
struct Span {
    first: f64,
    last: f64,
    left: f64,
    right: f64,
}

impl Span {
    fn new(frame: &Frame<'_>, starts_ms: &[f64]) -> Self {
        let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
        for at in starts_ms.iter().copied().filter(|at| at.is_finite()) {
            first = first.min(at.max(-1e300));
            last = last.max(at.min(1e300));
        }
        Self { first, last, left: frame.left + 2.0, right: (frame.right - 4.0).max(frame.left + 2.0) }
    }

    fn x(&self, ms: f64) -> f64 {
        let share = if self.last > self.first { (ms - self.first) / (self.last - self.first) } else { 0.5 };
        self.left + cast::within(share, 0.0, 1.0) * (self.right - self.left)
    }
}

#[derive(Clone, Copy)]
struct Look {
    is_dashed: bool,
    is_filled: bool,
}

/// Draws one series as runs of points without gaps.
fn one(frame: &mut Frame<'_>, input: &Input, series: usize, span: &Span, starts: &[f64], scale: &Scale, look: Look) {
    let colour = theme::series(series);
    let (bottom, height) = (frame.bottom, frame.height());
    let y = |value: f64| bottom - scale.at(value) * height;
    let is_dense = cast::real(starts.len()) > (span.right - span.left) * 2.0;
    let mut run = Run::default();
    let mut runs = Vec::new();
    for (index, start) in starts.iter().enumerate() {
        let value = input.at(series, index);
        if value.is_nan() || start.is_nan() {
            runs.push(core::mem::take(&mut run));
        } else {
            run.push(index, span.x(*start), y(value), is_dense);
        }
    }
    runs.push(run);
    let base = y(0.0);
    for run in &mut runs {
        run.flush();
        draw_run(frame, run, colour, base, look, starts.len());
        for (index, point) in run.indices.iter().zip(run.points.chunks_exact(2)) {
            if let [x, y] = *point {
                frame.painter.hit(series, *index, x, y, 0.0, 0.0);
            }
        }
    }
}

fn draw_run(frame: &mut Frame<'_>, run: &Run, colour: usize, base: f64, look: Look, places: usize) {
    let points = run.points.as_slice();
    let ([first_x, first_y, ..], [.., last_x, _]) = (points, points) else { return };
    if points.len() == 2 {
        frame.painter.circle(colour, *first_x, *first_y, 3.0);
        return;
    }
    if look.is_filled {
        let mut area = points.to_vec();
        area.extend_from_slice(&[*last_x, base, *first_x, base]);
        frame.painter.area(colour, 0.1, &area);
    }
    let reaches_end = run.indices.last().is_some_and(|last| last + 1 == places);
    let whole = if look.is_dashed && reaches_end { points.len() - 2 } else { points.len() };
    frame.painter.line(colour, 2.0, 0.0, points.get(..whole).unwrap_or_default());
    frame.painter.line(
        colour,
        2.0,
        4.0,
        points.get(whole.saturating_sub(2)..).filter(|_| whole < points.len()).unwrap_or_default(),
    );
}

/// Points that follow each other without a gap, thinned while they come.
#[derive(Default)]
struct Run {
    /// x, y by turns.
    points: Vec<f64>,
    /// Their places on the axis.
    indices: Vec<usize>,
    /// Of the pixel column that is being filled: least, greatest and last point, as (index, x, y).
    column: Option<[(usize, f64, f64); 3]>,
}

impl Run {
    fn push(&mut self, index: usize, x: f64, y: f64, is_dense: bool) {
        let point = (index, x, y);
        if !is_dense {
            self.keep(point);
            return;
        }
        match &mut self.column {
            Some([least, greatest, last]) if floor(last.1) == floor(x) => {
                if y < least.2 {
                    *least = point;
                }
                if y > greatest.2 {
                    *greatest = point;
                }
                *last = point;
            }
            _ => {
                self.flush();
                self.keep(point);
                self.column = Some([point; 3]);
            }
        }
    }

    /// Ends the column: its extremes in the order they came, and its last point.
    fn flush(&mut self) {
        let Some([least, greatest, last]) = self.column.take() else { return };
        let (one, other) = if least.0 < greatest.0 { (least, greatest) } else { (greatest, least) };
        for point in [one, other, last] {
            if self.indices.last().is_none_or(|before| *before < point.0) {
                self.keep(point);
            }
        }
    }

    fn keep(&mut self, (index, x, y): (usize, f64, f64)) {
        self.indices.push(index);
        self.points.extend_from_slice(&[x, y]);
    }
}
