//! Decides everything about a picture: scales, ticks, marks, labels, legend, title, colours and where the pointer hits.
//!
//! It is pure: the same input, options and ruler give the same list on every surface, which is what lets tests compare
//! bytes and lets a server's picture stand in for the browser's. It must not know canvases, files, clocks or JSON.

pub mod calendar;
pub mod flat;
pub mod input;
pub mod list;
pub mod number;
pub mod text;
pub mod theme;
pub mod ticks;

mod bar;
mod cast;
mod frame;
mod line;
mod metric;

pub use calendar::Zone;
pub use input::{Axis, ChartType, Input, Series};
pub use list::Picture;
pub use text::Measure;
pub use theme::Theme;

use alloc::string::String;

use frame::Frame;
use list::Painter;

/// Smallest side of a picture, in pixels; asked-for smaller ones are raised to it.
pub const SIDE_PX_MIN: f64 = 16.0;

/// Largest side of a picture, in pixels: what browsers' canvases still take at a pixel ratio of 2.
pub const SIDE_PX_MAX: f64 = 8_192.0;

/// How an answer is to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What to draw; none: chosen from the answer's shape (a value is a metric, time a line, groups bars).
    pub chart: Option<ChartType>,
    /// Above the picture; empty for none.
    pub title: String,
    /// Width in CSS pixels, held within [`SIDE_PX_MIN`] and [`SIDE_PX_MAX`].
    pub width_px: f64,
    /// Height in CSS pixels, held likewise.
    pub height_px: f64,
    /// Colours.
    pub theme: Theme,
    /// Where the days of the time axis begin.
    pub zone: Zone,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chart: None,
            title: String::new(),
            width_px: 600.0,
            height_px: 300.0,
            theme: Theme::Light,
            zone: Zone::default(),
        }
    }
}

/// Plans the picture of `input`. Never fails: what can't be drawn as asked is drawn as the shape allows, and an answer
/// without a number says so in words.
pub fn plan(input: &Input, options: &Options, measure: &dyn Measure) -> Picture {
    let side = |asked: f64| cast::within(asked, SIDE_PX_MIN, SIDE_PX_MAX);
    let mut painter = Painter::new(side(options.width_px), side(options.height_px), options.theme);
    let title = text::clean(&options.title);
    let chart = input.chart(options.chart);
    painter.summary(&summary(input, chart, &title));
    painter.rect(theme::BACKGROUND, 1.0, 0.0, 0.0, painter.width, painter.height);
    let mut frame = Frame::new(&mut painter, measure);
    if !input.has_number() && chart != ChartType::Metric {
        frame.title(&title);
        frame.message("No data");
    } else {
        match chart {
            ChartType::Metric => metric::draw(&mut frame, input, &title),
            ChartType::Line => line::draw(&mut frame, input, &title, &options.zone),
            ChartType::Bar => bar::draw(&mut frame, input, &title, &options.zone),
        }
    }
    painter.finish()
}

/// One sentence for those who can't see the picture.
fn summary(input: &Input, chart: ChartType, title: &str) -> String {
    let mut words = String::new();
    if !title.is_empty() {
        words.push_str(title);
        words.push_str(": ");
    }
    let Some((low, high)) = input.extent() else {
        words.push_str("no data");
        return words;
    };
    if chart == ChartType::Metric {
        words.push_str(&number::value(input.metric()));
        return words;
    }
    words.push_str(if chart == ChartType::Line { "line chart, " } else { "bar chart, " });
    if input.series.len() > 1 {
        words.push_str(&number::value(cast::real(input.series.len())));
        words.push_str(" series, ");
    }
    words.push_str(&number::value(cast::real(input.axis.len())));
    words.push_str(" points, from ");
    words.push_str(&number::value(low));
    words.push_str(" to ");
    words.push_str(&number::value(high));
    words
}

#[cfg(test)]
mod tests;
