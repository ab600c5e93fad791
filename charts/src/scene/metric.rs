//! One number, as large as its place allows.

use super::frame::Frame;
use super::input::Input;
use super::list::Type;
use super::{cast, number, theme};

/// Draws the number and, above it, the title.
pub(super) fn draw(frame: &mut Frame<'_>, input: &Input, title: &str) {
    let text = number::value(input.metric());
    let (width, height) = (frame.painter.width, frame.painter.height);
    let title_size = if height < 120.0 { 12.0 } else { 14.0 };
    let has_title = !title.is_empty() && height >= 48.0;
    let above = if has_title { title_size * 1.9 } else { 0.0 };
    // Digits are as wide at every size, so one measure gives the size that fills nine tenths of the width.
    let by_width = 10.0 * width * 0.9 / frame.measure.width(&text, 10.0, true).max(1.0);
    let size = cast::within(((height - above) * 0.6).min(by_width), 8.0, 88.0);
    let top = (height - above - size * 0.75) / 2.0;
    if has_title {
        let fitted = super::text::fit(frame.measure, title, title_size, false, width * 0.94);
        let look = Type { colour: theme::MUTED, size: title_size, bold: false, anchor: 0.5 };
        frame.painter.text(&fitted, look, width / 2.0, top + title_size);
    }
    let look = Type { colour: theme::TEXT, size, bold: true, anchor: 0.5 };
    let baseline = top + above + size * 0.74;
    frame.painter.text(&text, look, width / 2.0, baseline);
    frame.painter.hit(0, input.axis.len().saturating_sub(1), 0.0, 0.0, width, height);
}
