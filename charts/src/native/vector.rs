//! The list as an SVG document.
//!
//! plotters writes whole numbers only, so the drawing is made ten times larger and shown at its size through the
//! `viewBox`; that first line is written here, with the summary for those who can't see.

use plotters::prelude::SVGBackend;

use super::replay::{Surface, replay};
use super::{ChartError, font};
use crate::scene::Picture;

/// Units of the document per pixel.
const SCALE: u32 = 10;

/// Draws the list.
pub(super) fn draw(picture: &Picture) -> Result<String, ChartError> {
    let side = |side: f64| u32::try_from(super::replay::whole(side)).map_err(|_| ChartError::Draw);
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    let surface = Surface {
        scale: f64::from(SCALE),
        size_per_em: font::SVG_SIZE_PER_EM,
        // It writes a `dy` of 0.76 em, and an em is the size divided by 1.24.
        rise: 0.76 / font::SVG_SIZE_PER_EM,
        has_paths: true,
        has_bold: true,
    };
    let mut document = String::new();
    {
        let mut back = SVGBackend::with_string(&mut document, (width * SCALE, height * SCALE));
        replay(picture, &mut back, &surface)?;
    }
    let (_, body) = document.split_once('\n').ok_or(ChartError::Draw)?;
    let summary = escape(picture.texts.first().map_or("", String::as_str));
    let (wide, tall) = (width * SCALE, height * SCALE);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {wide} {tall}\" \
         role=\"img\" aria-label=\"{summary}\">\n{body}"
    ))
}

/// Text as the value of an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}
