//! Pictures on a server: the scene's display list as SVG and PNG, without a browser, a display or a system font.
//!
//! It joins the three parts that only a server needs: reading JSON answers, measuring with the font the program
//! carries, and replaying the list on plotters' back ends. It must not decide where anything stands.

mod answer;
mod bitmap;
mod font;
mod replay;
mod vector;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::scene::{self, Picture, Theme, Zone};

/// Which picture, as options name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartType {
    /// Values over time, joined.
    Line,
    /// Values side by side.
    Bar,
    /// One number.
    Metric,
}

/// Which colours, as options name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThemeName {
    /// Dark on white.
    #[default]
    Light,
    /// Light on near-black.
    Dark,
}

/// How a picture is to look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Kind of picture; none: chosen from the answer's shape (a value is a metric, time a line, groups bars). A kind
    /// that the shape doesn't allow is drawn as the shape does.
    pub chart: Option<ChartType>,
    /// Above the picture; empty for none.
    pub title: String,
    /// Width in pixels, 16 to 4,096; others are refused.
    pub width_px: u32,
    /// Height in pixels, 16 to 4,096; others are refused.
    pub height_px: u32,
    /// Pixels of a PNG per pixel of width and height, 1 to 3; SVG has none.
    pub pixel_ratio: u32,
    /// Colours.
    pub theme: ThemeName,
    /// Where days begin on an axis of time: from that instant (milliseconds since 1970) so many seconds east of UTC,
    /// ascending. Empty is UTC.
    pub utc_offsets: Vec<(i64, i32)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chart: None,
            title: String::new(),
            width_px: 800,
            height_px: 400,
            pixel_ratio: 1,
            theme: ThemeName::Light,
            utc_offsets: Vec::new(),
        }
    }
}

/// Largest side of a drawn picture, in pixels, so that one request can't take the server's memory.
const SIDE_PX_MAX: u32 = 4_096;

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// The answer is of a kind that has no picture yet.
    #[error("an answer of this shape can't be drawn as a chart")]
    Shape,
    /// The answer has more values than a picture is made from.
    #[error("the answer has more than {limit} values, too many for a chart")]
    TooLarge {
        /// Most values of one picture.
        limit: usize,
    },
    /// A side is outside its bounds.
    #[error("width and height must be {min} to {max} pixels, and the pixel ratio 1 to 3")]
    Size {
        /// Smallest side.
        min: u32,
        /// Largest side.
        max: u32,
    },
    /// Our bug: plotters or the encoder refused what we gave it.
    #[error("the picture could not be drawn")]
    Draw,
}

/// Draws an answer's `result` as an SVG document. It has no script, no link and no style, and outside text only as
/// text.
///
/// ```
/// let result = serde_json::json!([{ "country": "PL", "result": 3 }, { "country": "DE", "result": 5 }]);
/// let svg = charts::svg(&result, &charts::Options { title: "Clicks".to_owned(), ..Default::default() }).unwrap();
/// assert!(svg.starts_with("<svg ") && svg.contains("Clicks"));
/// ```
///
/// # Errors
/// When the answer's shape has no picture, or a side is out of bounds.
pub fn svg(result: &serde_json::Value, options: &Options) -> Result<String, ChartError> {
    vector::draw(&picture(result, options)?)
}

/// Draws an answer's `result` as a PNG file.
///
/// # Errors
/// When the answer's shape has no picture, or a side or the pixel ratio is out of bounds.
pub fn png(result: &serde_json::Value, options: &Options) -> Result<Vec<u8>, ChartError> {
    bitmap::draw(&picture(result, options)?, options.pixel_ratio)
}

/// Plans the picture with the font that will draw it.
fn picture(result: &serde_json::Value, options: &Options) -> Result<Picture, ChartError> {
    let is_side = |side: u32| (16..=SIDE_PX_MAX).contains(&side);
    if !is_side(options.width_px) || !is_side(options.height_px) || !(1..=3).contains(&options.pixel_ratio) {
        return Err(ChartError::Size { min: 16, max: SIDE_PX_MAX });
    }
    let input = answer::read(result)?;
    let options = scene::Options {
        chart: options.chart.map(|chart| match chart {
            ChartType::Line => scene::ChartType::Line,
            ChartType::Bar => scene::ChartType::Bar,
            ChartType::Metric => scene::ChartType::Metric,
        }),
        title: options.title.clone(),
        width_px: f64::from(options.width_px),
        height_px: f64::from(options.height_px),
        theme: match options.theme {
            ThemeName::Light => Theme::Light,
            ThemeName::Dark => Theme::Dark,
        },
        zone: Zone { offsets: options.utc_offsets.iter().map(|(from, s)| (*from as f64, f64::from(*s))).collect() },
    };
    Ok(scene::plan(&input, &options, &font::Ruler))
}
