//! Turns an answer into a picture: the same one in a browser and on a server.
//!
//! [`scene`] plans the picture once, from numbers and names to a short list of rectangles, lines and texts, and knows
//! no surface. A browser gets that list as bytes and replays it on a canvas (`npm/charts`); with the feature `native`
//! the same list is replayed through plotters' back ends as SVG or PNG. This file only joins the two; JSON and fonts
//! stay out of the browser's build, because they would be most of its size.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod scene;

#[cfg(feature = "native")]
mod native;

#[cfg(feature = "native")]
pub use native::{ChartError, Options, png, svg};

#[cfg(target_arch = "wasm32")]
pub mod web {
    //! What the browser calls: numbers and text in, a display list out.

    use alloc::vec::Vec;

    use wasm_bindgen::prelude::wasm_bindgen;

    use crate::scene::{self, Measure, flat};

    /// The standard one (dlmalloc) is 9 KB, a fifth of the module; this is 2 KB and as fast for one thread.
    #[global_allocator]
    static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

    /// The standard library's handler brings 6 KB of printing for a message that nobody reads; the browser reports the
    /// trap, and a debug build's names say where.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }

    #[wasm_bindgen]
    extern "C" {
        /// Measures text with the canvas that will draw it.
        pub type Ruler;

        /// Width in CSS pixels of `text` at `size_px`, in the bold face or not.
        #[wasm_bindgen(method)]
        fn width(this: &Ruler, text: &str, size_px: f64, bold: bool) -> f64;
    }

    impl Measure for Ruler {
        fn width(&self, text: &str, size_px: f64, bold: bool) -> f64 {
            Ruler::width(self, text, size_px, bold)
        }
    }

    /// Plans a picture and returns its display list (`scene::list`); `numbers` and `text` are as in [`scene::flat`].
    /// Bytes that can't be read give the picture of an empty answer.
    #[wasm_bindgen]
    pub fn plan(numbers: &[f64], text: &str, ruler: &Ruler) -> Vec<u8> {
        let (input, options) = flat::read(numbers, text);
        scene::plan(&input, &options, ruler).to_bytes()
    }
}
