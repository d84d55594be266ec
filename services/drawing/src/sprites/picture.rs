//! Decodes a sprite's file. Nothing that it says of itself is believed before it is bounded.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbaImage};

/// Least and most pixels of a sprite's height, and most of its width.
pub(super) const LEAST_HEIGHT: u32 = 8;
pub(super) const MOST_PIXELS: u32 = 512;
/// Most widths of a sprite in its height: the picture of the largest number stays within what JPEG can hold.
pub(super) const MOST_ASPECT: u32 = 2;
/// Most bytes that decoding one may take: its pixels, its frames' canvas, a decoder's own tables, and what else is compressed in
/// the file, as a colour profile.
const MOST_DECODING_BYTES: u64 = 16 << 20;

/// Decodes a file. Of an animation, the first frame stands for all.
///
/// # Errors
/// Says what is wrong, as the end of a sentence whose subject is the file.
pub(super) fn decode(file: &[u8]) -> Result<RgbaImage, String> {
    let unknown = || "is no PNG, GIF, JPEG or WebP picture".to_owned();
    let reader = || ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|_| unknown());
    let is_known =
        matches!(reader()?.format(), Some(ImageFormat::Png | ImageFormat::Gif | ImageFormat::Jpeg | ImageFormat::WebP));
    if !is_known {
        return Err(unknown());
    }
    let damaged = |error| format!("cannot be decoded: {error}");
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_DECODING_BYTES);
    let mut header = reader()?;
    header.limits(limits.clone());
    let (width, height) = header.into_dimensions().map_err(damaged)?;
    let fits = (LEAST_HEIGHT..=MOST_PIXELS).contains(&height) && (1..=MOST_PIXELS).contains(&width);
    if !fits || width > height * MOST_ASPECT {
        return Err(format!(
            "is {width} pixels wide and {height} high: the height must be from {LEAST_HEIGHT} to {MOST_PIXELS}, the width at \
             most {MOST_PIXELS} and {MOST_ASPECT} times the height"
        ));
    }
    limits.max_image_width = Some(MOST_PIXELS);
    limits.max_image_height = Some(MOST_PIXELS);
    let mut reader = reader()?;
    reader.limits(limits);
    reader.decode().map(DynamicImage::into_rgba8).map_err(damaged)
}
