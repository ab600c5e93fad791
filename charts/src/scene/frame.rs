//! What surrounds the marks: title, legend, and the axes with their labels; what is left over is the plot.
//!
//! Small pictures lose first the legend, then the title, so that marks always have room. It must not know what the
//! marks are.

use alloc::string::String;

use super::calendar::Tick;
use super::cast::floor;
use super::list::{Painter, Type};
use super::text::{self, Measure};
use super::ticks::Scale;
use super::{cast, theme};

/// Em of labels, in pixels.
pub(super) const LABEL: f64 = 12.0;
/// Height of one line of labels.
pub(super) const LINE: f64 = 16.0;
const TITLE: f64 = 15.0;

/// The room that is left.
pub(super) struct Frame<'a> {
    pub(super) painter: &'a mut Painter,
    pub(super) measure: &'a dyn Measure,
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl<'a> Frame<'a> {
    pub(super) fn new(painter: &'a mut Painter, measure: &'a dyn Measure) -> Self {
        let pad = if painter.width < 240.0 || painter.height < 160.0 { 6.0 } else { 12.0 };
        let (right, bottom) = (painter.width - pad, painter.height - pad);
        Self { painter, measure, left: pad, top: pad, right, bottom }
    }

    pub(super) fn width(&self) -> f64 {
        (self.right - self.left).max(1.0)
    }

    pub(super) fn height(&self) -> f64 {
        (self.bottom - self.top).max(1.0)
    }

    /// Width of a label.
    pub(super) fn label_width(&self, label: &str) -> f64 {
        self.measure.width(label, LABEL, false)
    }

    /// Draws a label no wider than `width` whose baseline is at `y`, moved so that it stays inside the picture.
    pub(super) fn label(&mut self, label: &str, anchor: f64, x: f64, y: f64, width: f64) {
        let fitted = text::fit(self.measure, label, LABEL, false, width.min(self.painter.width - 4.0));
        let wide = self.label_width(&fitted);
        let begin = (x - wide * anchor).min(self.painter.width - 2.0 - wide).max(2.0);
        let look = Type { colour: theme::MUTED, size: LABEL, bold: false, anchor };
        self.painter.text(&fitted, look, begin + wide * anchor, y);
    }

    /// Draws a label around `x` if it doesn't touch the one that ended at `free`; returns where the next may begin.
    pub(super) fn label_after(&mut self, free: f64, label: &str, x: f64, y: f64, width: f64) -> f64 {
        let wide = self.label_width(label).min(width);
        let begin = (x - wide / 2.0).min(self.painter.width - 2.0 - wide).max(2.0);
        if begin < free {
            return free;
        }
        self.label(label, 0.5, x, y, width);
        begin + wide + 8.0
    }

    /// Names round times beneath the plot, each where `place` says, and beneath them what they belong to.
    pub(super) fn times(&mut self, ticks: &[Tick], has_context: bool, mut place: impl FnMut(f64) -> f64) {
        let (mut free, mut context_free) = (0.0, 0.0);
        for tick in ticks {
            let x = place(cast::real_signed(tick.instant));
            free = self.label_after(free, &tick.label, x, self.bottom + LINE, 120.0);
            if has_context {
                context_free = self.label_after(context_free, &tick.context, x, self.bottom + LINE * 1.9, 120.0);
            }
        }
    }

    /// Draws the title, if there is one and room for it.
    pub(super) fn title(&mut self, title: &str) {
        if title.is_empty() || self.height() < 70.0 {
            return;
        }
        let fitted = text::fit(self.measure, title, TITLE, true, self.width());
        let look = Type { colour: theme::TEXT, size: TITLE, bold: true, anchor: 0.0 };
        self.painter.text(&fitted, look, self.left, self.top + TITLE * 0.85);
        self.top += TITLE + 13.0;
    }

    /// Draws the names of several series in at most two lines; those that don't fit are counted.
    pub(super) fn legend(&mut self, names: &[String]) {
        if names.len() < 2 || self.height() < 100.0 {
            return;
        }
        let lines_max = if self.height() < 200.0 { 1 } else { 2 };
        let (mut line, mut x) = (0, self.left);
        for (index, name) in names.iter().enumerate() {
            let fitted = text::fit(self.measure, name, LABEL, false, (self.width() * 0.5).min(220.0));
            let wide = 15.0 + self.label_width(&fitted);
            // The last line keeps room for the count of those that are left out.
            let more = if line + 1 == lines_max && index + 1 < names.len() { 70.0 } else { 0.0 };
            if x + wide + more > self.right && x > self.left {
                line += 1;
                x = self.left;
                if line == lines_max {
                    self.more(names.len() - index, line);
                    break;
                }
            }
            let y = self.top + LINE * cast::real(line);
            self.painter.rect(theme::series(index), 1.0, x, y + 1.0, 10.0, 10.0);
            self.label(&fitted, 0.0, x + 15.0, y + 10.5, self.width());
            x += wide + 16.0;
        }
        self.top += LINE * cast::real((line + 1).min(lines_max)) + 8.0;
    }

    /// Writes how many series the legend leaves out, at the end of its last line.
    fn more(&mut self, count: usize, lines: usize) {
        let mut words = String::from("+");
        words.push_str(&super::number::value(cast::real(count)));
        words.push_str(" more");
        self.label(&words, 1.0, self.right, self.top + LINE * cast::real(lines - 1) + 10.5, 80.0);
    }

    /// Makes the scale of values for the plot's present height, draws its lines and labels, and gives up the room at
    /// the left. `low` and `high` hold all values.
    pub(super) fn values(&mut self, low: f64, high: f64, zero: bool, whole: bool) -> Scale {
        let steps_max = cast::within(floor(self.height() / 36.0), 2.0, 6.0);
        let scale = Scale::nice(low, high, zero, whole, steps_max);
        let ticks = scale.ticks();
        let widest = ticks.iter().map(|(_, label)| self.label_width(label)).fold(0.0, f64::max).min(self.width() * 0.4);
        let edge = self.left + widest;
        self.left = edge + 8.0;
        for (value, label) in &ticks {
            let y = self.y(&scale, *value);
            self.rule(*value, &[self.left, y, self.right, y]);
            self.label(label, 1.0, edge, (y + LABEL * 0.36).max(LABEL), widest + 1.0);
        }
        scale
    }

    /// One line of the grid; that of zero is darker.
    pub(super) fn rule(&mut self, value: f64, points: &[f64]) {
        self.painter.line(if value == 0.0 { theme::AXIS } else { theme::GRID }, 1.0, 0.0, points);
    }

    /// Where a value is drawn, in the middle of a pixel for lines of the grid.
    pub(super) fn y(&self, scale: &Scale, value: f64) -> f64 {
        floor(self.bottom - scale.at(value) * self.height()) + 0.5
    }

    /// A sentence in the middle of the plot.
    pub(super) fn message(&mut self, words: &str) {
        let (x, y) = ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0 + LABEL * 0.36);
        let look = Type { colour: theme::MUTED, size: 14.0, bold: false, anchor: 0.5 };
        let fitted = text::fit(self.measure, words, 14.0, false, self.width());
        self.painter.text(&fitted, look, x, y);
    }
}
