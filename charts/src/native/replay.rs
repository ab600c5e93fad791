//! Replays a display list on any of plotters' back ends, one operation after the other.
//!
//! plotters' coordinates are whole numbers, so everything is multiplied by a scale first and the surface is as many
//! times larger; what becomes of it afterwards is the surface's own affair.

use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor, TextStyle};
use plotters_backend::{BackendCoord, BackendStyle, DrawingBackend, DrawingErrorKind};

use super::{ChartError, font};
use crate::scene::Picture;
use crate::scene::list::Op;

/// How a back end differs from the others.
pub(super) struct Surface {
    /// Its units per pixel of the list.
    pub scale: f64,
    /// What it makes of a font's size.
    pub size_per_em: f64,
    /// From the baseline up to where it wants text, in plotters sizes.
    pub rise: f64,
    /// Whether it strokes a path by itself; else segments and their joints are drawn one by one.
    pub has_paths: bool,
    /// Whether it has a bold face; else bold text is drawn three times, a little apart.
    pub has_bold: bool,
}

/// Draws the whole list.
pub(super) fn replay<B: DrawingBackend>(picture: &Picture, back: &mut B, surface: &Surface) -> Result<(), ChartError> {
    let mut pen = Pen { back, surface, colours: &picture.colours };
    for op in picture.iter() {
        pen.draw(op).map_err(|_| ChartError::Draw)?;
    }
    pen.back.present().map_err(|_| ChartError::Draw)
}

type Drawn<B> = Result<(), DrawingErrorKind<<B as DrawingBackend>::ErrorType>>;

struct Pen<'a, B> {
    back: &'a mut B,
    surface: &'a Surface,
    colours: &'a [u32],
}

/// A colour with the width of a stroke.
struct Stroke {
    colour: RGBColor,
    width: u32,
}

impl BackendStyle for Stroke {
    fn color(&self) -> plotters_backend::BackendColor {
        self.colour.to_backend_color()
    }

    fn stroke_width(&self) -> u32 {
        self.width
    }
}

impl<B: DrawingBackend> Pen<'_, B> {
    fn draw(&mut self, op: Op<'_>) -> Drawn<B> {
        match op {
            Op::Rect(colour, opacity, [x, y, width, height]) => {
                let style = self.colour(colour).mix(f64::from(opacity));
                let (left, top) = self.at(x, y);
                let (right, bottom) = self.at(x + width, y + height);
                self.back.draw_rect((left, top), (right, bottom), &style, true)
            }
            Op::Line(colour, width, dash, points) => {
                let style = Stroke { colour: self.colour(colour), width: self.length(width).max(1) };
                if dash > 0.0 {
                    return dashes(points, dash).iter().try_for_each(|piece| self.stroke(piece, &style));
                }
                self.stroke(points, &style)
            }
            Op::Area(colour, opacity, points) => {
                let style = self.colour(colour).mix(f64::from(opacity));
                let path = self.path(points);
                self.back.fill_polygon(path, &style)
            }
            Op::Circle(colour, [x, y, radius]) => {
                let style = Stroke { colour: self.colour(colour), width: 0 };
                let (centre, radius) = (self.at(x, y), self.length(radius));
                self.back.draw_circle(centre, radius, &style, true)
            }
            Op::Text(colour, text, size, bold, anchor, [x, y]) => self.text(colour, text, size, bold, anchor, x, y),
        }
    }

    fn stroke(&mut self, points: &[f32], style: &Stroke) -> Drawn<B> {
        let path = self.path(points);
        if self.surface.has_paths {
            return self.back.draw_path(path, style);
        }
        for pair in path.windows(2) {
            if let [from, to] = *pair {
                self.back.draw_line(from, to, style)?;
            }
        }
        let inner = path.get(1..path.len().saturating_sub(1)).unwrap_or_default();
        inner.iter().try_for_each(|joint| self.back.draw_circle(*joint, style.width / 2, style, true))
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one operation")]
    fn text(&mut self, colour: usize, text: &str, size: f32, bold: bool, anchor: f32, x: f32, y: f32) -> Drawn<B> {
        let size = f64::from(size) * self.surface.scale * self.surface.size_per_em;
        let h_pos = match anchor {
            0.0 => HPos::Left,
            1.0 => HPos::Right,
            _ => HPos::Center,
        };
        let font = font::at(size, bold);
        let colour = self.colour(colour);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(h_pos, VPos::Top));
        let (x, y) = self.at(x, y);
        let y = y - whole(size * self.surface.rise);
        if bold && !self.surface.has_bold {
            let apart = whole(size * 0.036).max(1);
            self.back.draw_text(text, &style, (x + apart / 2, y))?;
            self.back.draw_text(text, &style, (x + apart, y))?;
        }
        self.back.draw_text(text, &style, (x, y))
    }

    fn colour(&self, role: usize) -> RGBColor {
        let [_, red, green, blue] = self.colours.get(role).copied().unwrap_or_default().to_be_bytes();
        RGBColor(red, green, blue)
    }

    fn at(&self, x: f32, y: f32) -> BackendCoord {
        (whole(f64::from(x) * self.surface.scale), whole(f64::from(y) * self.surface.scale))
    }

    fn length(&self, length: f32) -> u32 {
        u32::try_from(whole(f64::from(length) * self.surface.scale)).unwrap_or(0)
    }

    fn path(&self, points: &[f32]) -> Vec<BackendCoord> {
        points.chunks_exact(2).filter_map(|pair| Some(self.at(*pair.first()?, *pair.last()?))).collect()
    }
}

/// The nearest whole number.
#[allow(clippy::cast_possible_truncation, reason = "`as` saturates; coordinates are at most 4,096 times the scale")]
pub(super) fn whole(value: f64) -> i32 {
    value.round() as i32
}

/// The pieces of a line that dashes of that length, with gaps of the same length, leave.
fn dashes(points: &[f32], dash: f32) -> Vec<Vec<f32>> {
    let mut pieces = Vec::new();
    let (mut is_on, mut left) = (true, dash);
    for step in points.windows(4).step_by(2) {
        let [x0, y0, x1, y1] = *step else { continue };
        let length = (x1 - x0).hypot(y1 - y0);
        let mut done = 0.0;
        while done < length {
            let end = (done + left).min(length);
            let at = |along: f32| [x0 + (x1 - x0) * along / length, y0 + (y1 - y0) * along / length];
            if is_on {
                pieces.push([at(done), at(end)].concat());
            }
            left -= end - done;
            if left <= 0.0 {
                (is_on, left) = (!is_on, dash);
            }
            done = end;
        }
    }
    pieces
}
