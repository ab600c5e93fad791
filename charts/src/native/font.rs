//! The font that pictures on a server are measured and drawn with: DejaVu Sans, carried in the program, because a
//! container has no fonts and a picture must not depend on who draws it.
//!
//! plotters knows one size and uses it in two ways: its bitmaps take it for the height from descent to ascent, its SVG
//! writes it divided by 1.24. The factors that undo both are here.

use std::sync::Once;

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

use crate::scene::Measure;

static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// The family's name: SVG viewers replace it with their own, bitmaps use ours, which is registered under it.
const FAMILY: FontFamily<'static> = FontFamily::SansSerif;

/// Height of the font over its em: (1901 + 483) / 2048, from its `hhea` and `head` tables.
pub(super) const BITMAP_SIZE_PER_EM: f64 = 2_384.0 / 2_048.0;

/// What plotters' SVG divides a size by.
pub(super) const SVG_SIZE_PER_EM: f64 = 1.24;

/// The font at a plotters size.
pub(super) fn at(size: f64, bold: bool) -> FontDesc<'static> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // Fails only for a file that isn't a font; then drawing fails, and a test would have.
        let _ = register_font(FAMILY.as_str(), FontStyle::Normal, FONT);
    });
    FontDesc::new(FAMILY, size, if bold { FontStyle::Bold } else { FontStyle::Normal })
}

/// Measures with the carried font.
pub(super) struct Ruler;

impl Measure for Ruler {
    fn width(&self, text: &str, size_px: f64, bold: bool) -> f64 {
        // plotters rounds widths down to whole pixels, so it is asked at a size where that doesn't matter.
        let scale = 64.0;
        let font = at(size_px * BITMAP_SIZE_PER_EM * scale, false);
        let width = font.box_size(text).map_or(0.0, |(width, _)| f64::from(width) / scale);
        // The bold face isn't carried; viewers of SVG have one, which is about a ninth wider.
        if bold { width * 1.12 } else { width }
    }
}
