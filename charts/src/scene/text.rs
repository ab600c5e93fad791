//! Makes outside text fit for a picture: without characters that hide or reorder others, and no wider than its place.

use alloc::borrow::ToOwned;
use alloc::string::String;

/// Longest text that is measured, in characters; the rest is cut before. Names come from events, so they have no
/// bound of their own, and measuring a long text costs as much as drawing it.
pub const CHARS_MAX: usize = 200;

/// Says how wide text will be.
pub trait Measure {
    /// Width in pixels of `text` at `size_px` (the em), in the bold face or not.
    fn width(&self, text: &str, size_px: f64, bold: bool) -> f64;
}

/// The text without characters that don't draw: controls become spaces, marks of direction and noncharacters vanish,
/// and everything beyond [`CHARS_MAX`] becomes an ellipsis.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut kept = String::new();
    for (index, c) in text.chars().enumerate() {
        if index >= CHARS_MAX {
            kept.push('…');
            break;
        }
        match c {
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => kept.push(' '),
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => {}
            '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {}
            c => kept.push(c),
        }
    }
    kept
}

/// The text if it is at most `width_px` wide, else its longest beginning that is so with an ellipsis; empty when not
/// even that has room.
pub fn fit(measure: &dyn Measure, text: &str, size_px: f64, bold: bool, width_px: f64) -> String {
    if measure.width(text, size_px, bold) <= width_px {
        return text.to_owned();
    }
    let shortened = |chars: usize| {
        let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
        let mut short = text.get(..end).unwrap_or_default().to_owned();
        if short.ends_with(' ') {
            short.pop();
        }
        short.push('…');
        short
    };
    let (mut low, mut high) = (0, CHARS_MAX);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if measure.width(&shortened(middle), size_px, bold) <= width_px {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    if low == 0 { String::new() } else { shortened(low) }
}
