//! The display list: a picture as a short list of things to draw, in the order they are drawn.
//!
//! It is the whole interface between planning and surfaces, so it knows neither answers nor canvases. Coordinates are
//! CSS pixels from the upper left corner, finite and inside the picture; a surface multiplies them by its own ratio.
//!
//! # Bytes, version 1
//!
//! Little-endian words of 32 bits, then text. `N` numbers of a kind follow the header in the order of their counts.
//!
//! | word | type | is |
//! |---|---|---|
//! | 0 | u32 | `0x3143_5652`, that is `RVC1`; another version has another |
//! | 1, 2 | f32 | width, height |
//! | 3 | u32 | count of colours |
//! | 4 | u32 | count of words of operations |
//! | 5 | u32 | count of words of hits |
//! | 6 | u32 | count of texts |
//! | … | u32 | colours, `0xRRGGBB`; operations name them by index (roles: `theme`) |
//! | … | f32 | operations, below |
//! | … | f32 | hits: six words each: series, place on the axis, x, y, width, height (both 0 for a point) |
//! | … | u32 | length of each text in bytes |
//! | … | UTF-8 | the texts, one after the other; text 0 is the summary for those who can't see |
//!
//! | operation | words after its code |
//! |---|---|
//! | 1 rectangle | colour, opacity, x, y, width, height |
//! | 2 line | colour, width, dash (0 none), n, then n times x, y |
//! | 3 area | colour, opacity, n, then n times x, y |
//! | 4 circle | colour, x, y, radius |
//! | 5 text | colour, text, size (em), bold (0, 1), anchor (0 begin, 0.5 middle, 1 end), x, y of the baseline |

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Theme;
use super::cast::{narrow, real, short, within};

/// The first word of a list in bytes.
pub const MAGIC: u32 = 0x3143_5652;

/// Codes of operations.
pub mod code {
    /// A filled rectangle.
    pub const RECT: f32 = 1.0;
    /// A stroked line through points.
    pub const LINE: f32 = 2.0;
    /// A filled polygon.
    pub const AREA: f32 = 3.0;
    /// A filled circle.
    pub const CIRCLE: f32 = 4.0;
    /// Text.
    pub const TEXT: f32 = 5.0;
}

/// A planned picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Width in CSS pixels.
    pub width: f64,
    /// Height in CSS pixels.
    pub height: f64,
    /// `0xRRGGBB` by role.
    pub colours: Vec<u32>,
    /// Operations, as in the table above.
    pub ops: Vec<f32>,
    /// Where marks are, as in the table above.
    pub hits: Vec<f32>,
    /// Texts that operations name; the first is the summary.
    pub texts: Vec<String>,
}

impl Picture {
    /// The list as bytes, as in the table above.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = [
            MAGIC,
            narrow(self.width).to_bits(),
            narrow(self.height).to_bits(),
            short(self.colours.len()),
            short(self.ops.len()),
            short(self.hits.len()),
            short(self.texts.len()),
        ];
        let mut bytes = Vec::new();
        let mut push = |word: u32| bytes.extend_from_slice(&word.to_le_bytes());
        header.into_iter().for_each(&mut push);
        self.colours.iter().for_each(|colour| push(*colour));
        self.ops.iter().chain(&self.hits).for_each(|word| push(word.to_bits()));
        self.texts.iter().for_each(|text| push(short(text.len())));
        for text in &self.texts {
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    /// What is drawn, in order.
    pub fn iter(&self) -> impl Iterator<Item = Op<'_>> {
        let mut rest = self.ops.as_slice();
        core::iter::from_fn(move || {
            let (op, after) = Op::read(rest, &self.texts)?;
            rest = after;
            Some(op)
        })
    }
}

/// One thing to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op<'a> {
    /// A filled rectangle: colour, opacity; x, y, width, height.
    Rect(usize, f32, [f32; 4]),
    /// A stroked line: colour, width, dash; x, y by turns.
    Line(usize, f32, f32, &'a [f32]),
    /// A filled polygon: colour, opacity; x, y by turns.
    Area(usize, f32, &'a [f32]),
    /// A filled circle: colour; x, y, radius.
    Circle(usize, [f32; 3]),
    /// Text: colour, text, size, bold, anchor; x, y of the baseline.
    Text(usize, &'a str, f32, bool, f32, [f32; 2]),
}

impl<'a> Op<'a> {
    fn read(words: &'a [f32], texts: &'a [String]) -> Option<(Self, &'a [f32])> {
        let index = |word: f32| super::cast::count(f64::from(word));
        let points = |count: f32, after: &'a [f32]| after.split_at_checked(index(count) * 2);
        match *words {
            [code::RECT, colour, opacity, x, y, w, h, ref rest @ ..] => {
                Some((Self::Rect(index(colour), opacity, [x, y, w, h]), rest))
            }
            [code::LINE, colour, width, dash, count, ref after @ ..] => {
                let (path, rest) = points(count, after)?;
                Some((Self::Line(index(colour), width, dash, path), rest))
            }
            [code::AREA, colour, opacity, count, ref after @ ..] => {
                let (path, rest) = points(count, after)?;
                Some((Self::Area(index(colour), opacity, path), rest))
            }
            [code::CIRCLE, colour, x, y, radius, ref rest @ ..] => {
                Some((Self::Circle(index(colour), [x, y, radius]), rest))
            }
            [code::TEXT, colour, text, size, bold, anchor, x, y, ref rest @ ..] => {
                let text = texts.get(index(text))?;
                Some((Self::Text(index(colour), text, size, bold > 0.0, anchor, [x, y]), rest))
            }
            _ => None,
        }
    }
}

/// How a text stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    /// Role of its colour.
    pub colour: usize,
    /// The em, in pixels.
    pub size: f64,
    /// Bold or not.
    pub bold: bool,
    /// Which part of it is at x: 0 its beginning, 0.5 its middle, 1 its end.
    pub anchor: f64,
}

/// Writes a list; every coordinate is brought inside the picture here, so that no plan can leave it.
pub(super) struct Painter {
    pub(super) width: f64,
    pub(super) height: f64,
    picture: Picture,
}

impl Painter {
    pub(super) fn new(width: f64, height: f64, theme: Theme) -> Self {
        let picture = Picture {
            width,
            height,
            colours: theme.colours().to_vec(),
            ops: Vec::new(),
            hits: Vec::new(),
            texts: vec![String::new()],
        };
        Self { width, height, picture }
    }

    pub(super) fn summary(&mut self, text: &str) {
        if let Some(first) = self.picture.texts.first_mut() {
            text.clone_into(first);
        }
    }

    pub(super) fn rect(&mut self, colour: usize, opacity: f64, x: f64, y: f64, width: f64, height: f64) {
        let (left, top) = (self.x(x), self.y(y));
        let (right, bottom) = (self.x(x + width), self.y(y + height));
        let words = [narrow(opacity), left, top, right - left, bottom - top];
        self.op(code::RECT, colour, &words);
    }

    /// `points` are x, y by turns; fewer than two points draw nothing.
    pub(super) fn line(&mut self, colour: usize, width: f64, dash: f64, points: &[f64]) {
        if points.len() >= 4 {
            self.op(code::LINE, colour, &[narrow(width), narrow(dash), narrow(real(points.len() / 2))]);
            self.points(points);
        }
    }

    pub(super) fn area(&mut self, colour: usize, opacity: f64, points: &[f64]) {
        self.op(code::AREA, colour, &[narrow(opacity), narrow(real(points.len() / 2))]);
        self.points(points);
    }

    pub(super) fn circle(&mut self, colour: usize, x: f64, y: f64, radius: f64) {
        let words = [self.x(x), self.y(y), narrow(radius)];
        self.op(code::CIRCLE, colour, &words);
    }

    /// Empty text draws nothing.
    pub(super) fn text(&mut self, text: &str, look: Type, x: f64, y: f64) {
        if text.is_empty() {
            return;
        }
        let words = [
            narrow(real(self.picture.texts.len())),
            narrow(look.size),
            if look.bold { 1.0 } else { 0.0 },
            narrow(look.anchor),
            self.x(x),
            self.y(y),
        ];
        self.op(code::TEXT, look.colour, &words);
        self.picture.texts.push(text.to_owned());
    }

    /// Notes where the mark of a value is.
    pub(super) fn hit(&mut self, series: usize, index: usize, x: f64, y: f64, width: f64, height: f64) {
        let words = [narrow(real(series)), narrow(real(index)), self.x(x), self.y(y), narrow(width), narrow(height)];
        self.picture.hits.extend_from_slice(&words);
    }

    pub(super) fn finish(self) -> Picture {
        self.picture
    }

    fn op(&mut self, code: f32, colour: usize, words: &[f32]) {
        self.picture.ops.extend_from_slice(&[code, narrow(real(colour))]);
        self.picture.ops.extend_from_slice(words);
    }

    fn points(&mut self, points: &[f64]) {
        for pair in points.chunks_exact(2) {
            if let [x, y] = *pair {
                let inside = [self.x(x), self.y(y)];
                self.picture.ops.extend_from_slice(&inside);
            }
        }
    }

    fn x(&self, x: f64) -> f32 {
        narrow(within(x, 0.0, self.width))
    }

    fn y(&self, y: f64) -> f32 {
        narrow(within(y, 0.0, self.height))
    }
}
