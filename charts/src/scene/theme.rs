//! Which colours there are and what each is for.
//!
//! The display list names colours by role, so the same list can be shown in another theme by replacing its colour
//! table. The palette keeps its order for people with protanopia, deuteranopia and tritanopia (after Okabe and Ito,
//! "Color Universal Design", 2008) and is darkened where a colour had less than 3:1 against the background.

/// The paper.
pub const BACKGROUND: usize = 0;
/// Titles and numbers.
pub const TEXT: usize = 1;
/// Labels of axes and legends.
pub const MUTED: usize = 2;
/// Lines behind the marks.
pub const GRID: usize = 3;
/// The line from which marks rise.
pub const AXIS: usize = 4;
/// The first series' colour; others follow, and begin again after [`SERIES_COUNT`].
pub const SERIES: usize = 5;
/// How many colours series have.
pub const SERIES_COUNT: usize = 8;

/// A table of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on near-black.
    Dark,
}

impl Theme {
    /// Colours as `0xRRGGBB`, by role.
    #[must_use]
    pub const fn colours(self) -> &'static [u32; SERIES + SERIES_COUNT] {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }
}

/// The role of series number `index`.
#[must_use]
pub const fn series(index: usize) -> usize {
    SERIES + index % SERIES_COUNT
}

const LIGHT: [u32; SERIES + SERIES_COUNT] = [
    0xFF_FFFF, 0x1B_2430, 0x5B_6675, 0xE6_E9EE, 0x9A_A4B1, // paper, text, muted, grid, axis
    0x00_72B2, 0xD5_5E00, 0x00_9E73, 0xB8_5C96, 0xB3_7E00, 0x3A_94C9, 0x6B_4C9A, 0x6B_7280,
];

const DARK: [u32; SERIES + SERIES_COUNT] = [
    0x12_1821, 0xF0_F3F7, 0xA3_AEBC, 0x2A_3340, 0x5F_6B7A, // paper, text, muted, grid, axis
    0x56_B4E9, 0xF0_8B45, 0x2D_C79B, 0xE0_94C4, 0xE6_B53D, 0x8F_D0F5, 0xA9_8EDC, 0x9A_A4B1,
];
