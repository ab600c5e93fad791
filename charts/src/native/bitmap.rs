//! The list as a PNG file.
//!
//! plotters' bitmaps have whole coordinates and hard edges, so the drawing is made several times larger and each pixel
//! is the mean of those it covers.

use plotters::prelude::BitMapBackend;

use super::replay::{Surface, replay, whole};
use super::{ChartError, font};
use crate::scene::Picture;

/// Pixels drawn along each side of one that is kept. Text is smooth at 3; 4 costs nearly twice as much memory.
const OVERSAMPLING: u32 = 3;

/// Most pixels that are drawn at once (96 MiB of memory); larger pictures are drawn with less oversampling.
const DRAWN_PIXELS_MAX: u64 = 32 * 1_024 * 1_024;

/// Draws the list with `ratio` pixels per pixel of it.
pub(super) fn draw(picture: &Picture, ratio: u32) -> Result<Vec<u8>, ChartError> {
    let side = |side: f64| u32::try_from(whole(side)).map(|side| side * ratio).map_err(|_| ChartError::Draw);
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    let drawn = |over: u32| u64::from(width * over) * u64::from(height * over);
    let over = (1..=OVERSAMPLING).rev().find(|over| drawn(*over) <= DRAWN_PIXELS_MAX).unwrap_or(1);
    let surface = Surface {
        scale: f64::from(ratio * over),
        size_per_em: font::BITMAP_SIZE_PER_EM,
        // It puts the baseline half a size below the upper edge.
        rise: 0.5,
        has_paths: false,
        has_bold: false,
    };
    let bytes = usize::try_from(drawn(over) * 3).map_err(|_| ChartError::Draw)?;
    let mut pixels = vec![0_u8; bytes];
    {
        let mut back = BitMapBackend::with_buffer(&mut pixels, (width * over, height * over));
        replay(picture, &mut back, &surface)?;
    }
    encode(&shrink(&pixels, width, over), width, height)
}

/// Each pixel the mean of `over` times `over`; rows are `width * over` pixels of three bytes.
fn shrink(pixels: &[u8], width: u32, over: u32) -> Vec<u8> {
    let over = usize::try_from(over).unwrap_or(1).max(1);
    if over == 1 {
        return pixels.to_vec();
    }
    let width = usize::try_from(width).unwrap_or(0);
    let row = width * over * 3;
    let count = u32::try_from(over * over).unwrap_or(1);
    let mut small = Vec::with_capacity(pixels.len() / (over * over));
    let mut sums = vec![0_u32; width * 3];
    for band in pixels.chunks_exact(row.max(1) * over) {
        sums.fill(0);
        for line in band.chunks_exact(row.max(1)) {
            for (sum, cell) in sums.chunks_exact_mut(3).zip(line.chunks_exact(over * 3)) {
                for pixel in cell.chunks_exact(3) {
                    sum.iter_mut().zip(pixel).for_each(|(sum, part)| *sum += u32::from(*part));
                }
            }
        }
        small.extend(sums.iter().map(|sum| u8::try_from((sum + count / 2) / count).unwrap_or(u8::MAX)));
    }
    small
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, ChartError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|_| ChartError::Draw)?;
    writer.write_image_data(pixels).map_err(|_| ChartError::Draw)?;
    writer.finish().map_err(|_| ChartError::Draw)?;
    Ok(file)
}
