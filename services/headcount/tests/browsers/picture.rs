//! Pictures that `headcount draw` draws, and where they are on the screen.

use std::{path::Path, process::Command};

/// Background of the test's pages, behind the picture's transparent pixels.
pub(crate) const BACKGROUND: [u8; 3] = [255, 255, 255];
/// Tolerance for translucent pixels, because browsers round differently. Opaque pixels must be equal.
const BLENDING_TOLERANCE: u8 = 2;

/// A part of the screen, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rectangle {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A drawn number.
pub(crate) struct Picture {
    width: usize,
    height: usize,
    /// Red, green, blue and alpha, row by row.
    pixels: Vec<[u8; 4]>,
}

impl Picture {
    /// Draws `count` in the default look with the binary.
    pub(crate) fn drawn(count: u64, directory: &Path) -> Picture {
        Picture::drawn_with(&[&count.to_string()], directory)
    }

    /// Draws the picture that a stream ends with whose last number is `count`.
    pub(crate) fn marked(count: u64, directory: &Path) -> Picture {
        Picture::drawn_with(&[&count.to_string(), "--stale"], directory)
    }

    fn drawn_with(arguments: &[&str], directory: &Path) -> Picture {
        let file = directory.join("picture.png");
        let status = Command::new(env!("CARGO_BIN_EXE_headcount"))
            .arg("draw")
            .args(arguments)
            .arg("--out")
            .arg(&file)
            .status()
            .expect("the binary runs");
        assert!(status.success(), "headcount draw {arguments:?}: {status}");
        let drawn = image::open(&file).expect("a PNG").into_rgba8();
        let (width, height) = (drawn.width() as usize, drawn.height() as usize);
        Picture { width, height, pixels: drawn.as_chunks::<4>().0.to_vec() }
    }

    /// Returns whether `screen`, a part of this picture's size, shows exactly this picture.
    pub(crate) fn is_shown(&self, screen: &[[u8; 3]]) -> bool {
        assert_eq!(screen.len(), self.pixels.len(), "a part of the picture's size");
        self.pixels.iter().zip(screen).all(|(&drawn, &shown)| agrees(drawn, shown))
    }

    /// Returns where this picture is within `part` of the screen, whose pixels are `screen`.
    pub(crate) fn find(&self, screen: &[[u8; 3]], part: Rectangle) -> Option<Rectangle> {
        let rows = 0..=part.height.checked_sub(self.height)?;
        let columns = part.width.checked_sub(self.width)?;
        let matches = |left: usize, top: usize| {
            self.pixels.chunks(self.width).enumerate().all(|(row, drawn)| {
                let start = (top + row) * part.width + left;
                drawn.iter().zip(&screen[start..]).all(|(&drawn, &shown)| agrees(drawn, shown))
            })
        };
        let (left, top) =
            rows.flat_map(|top| (0..=columns).map(move |left| (left, top))).find(|&(left, top)| matches(left, top))?;
        Some(Rectangle { x: part.x + left, y: part.y + top, width: self.width, height: self.height })
    }
}

/// Returns whether a drawn pixel, blended with the page's background, is what the screen shows.
fn agrees([red, green, blue, alpha]: [u8; 4], shown: [u8; 3]) -> bool {
    let tolerance = if matches!(alpha, 0 | 255) { 0 } else { BLENDING_TOLERANCE };
    let blend = |drawn: u8, background: u8| {
        let sum = u32::from(drawn) * u32::from(alpha) + u32::from(background) * (255 - u32::from(alpha));
        u8::try_from((sum + 127) / 255).expect("a mean of two bytes")
    };
    [red, green, blue]
        .into_iter()
        .zip(BACKGROUND)
        .zip(shown)
        .all(|((drawn, background), shown)| blend(drawn, background).abs_diff(shown) <= tolerance)
}
