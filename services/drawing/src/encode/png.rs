//! [`PngEncoder`]: encodes pixels as PNG, indexed at the smallest bit depth that holds all colours.

use std::collections::HashMap;

use ::png::{BitDepth, ColorType, Encoder, chunk};
use flate2::{Compress, Compression, FlushCompress, Status};
use image::RgbaImage;
use parking_lot::Mutex;

use crate::stamp::{KEYWORD, Stamp};

/// PNG's filter type 0, "None". Other filters do not help with flat colours.
const UNFILTERED: u8 = 0;
/// Compressors that are kept, of some 300 KB each.
const IDLE_COMPRESSORS: usize = 4;

/// Encodes PNGs.
#[derive(Debug)]
pub(crate) struct PngEncoder {
    /// Idle compressors, at most [`IDLE_COMPRESSORS`]: building one's tables takes longer than compressing a badge. None
    /// is locked while it compresses.
    idle: Mutex<Vec<Compress>>,
}

/// An image's colours, and each pixel's index among them.
struct Indexed {
    palette: Vec<[u8; 4]>,
    pixels: Vec<u8>,
}

impl PngEncoder {
    pub(crate) fn new() -> PngEncoder {
        PngEncoder { idle: Mutex::default() }
    }

    /// Encodes an image with its stamp, if it has one.
    pub(crate) fn encode<'a>(&self, image: &RgbaImage, stamp: impl Into<Option<&'a Stamp>>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024);
        let mut encoder = Encoder::new(&mut bytes, image.width(), image.height());
        if let Some(stamp) = stamp.into() {
            encoder.add_text_chunk(KEYWORD.to_owned(), stamp.to_string()).expect("keyword and stamp are ASCII");
        }
        let width = image.width() as usize;
        let rows: Vec<u8> = if let Some(indexed) = Indexed::of(image) {
            let depth = indexed.depth();
            encoder.set_color(ColorType::Indexed);
            encoder.set_depth(depth);
            encoder.set_palette(indexed.colours());
            if let Some(alphas) = indexed.alphas() {
                encoder.set_trns(alphas);
            }
            indexed.pixels.chunks(width).flat_map(|row| filtered(packed(row, depth))).collect()
        } else {
            encoder.set_color(ColorType::Rgba);
            image.as_raw().chunks(width * 4).flat_map(|row| filtered(row.iter().copied())).collect()
        };
        let complete = encoder.write_header().and_then(|mut writer| {
            writer.write_chunk(chunk::IDAT, &self.deflated(&rows))?;
            writer.finish()
        });
        complete.expect("the palette is in bounds, and writing to a Vec cannot fail");
        bytes
    }

    /// Compresses rows as one zlib stream.
    fn deflated(&self, rows: &[u8]) -> Vec<u8> {
        let idle = self.idle.lock().pop();
        let mut deflate = idle.unwrap_or_else(|| Compress::new(Compression::best(), true));
        let mut deflated = Vec::with_capacity(rows.len() / 4 + 64);
        loop {
            let taken = deflate.total_in() as usize;
            let status = deflate.compress_vec(&rows[taken..], &mut deflated, FlushCompress::Finish);
            if status.expect("the compressor was reset") == Status::StreamEnd {
                break;
            }
            deflated.reserve(deflated.capacity());
        }
        deflate.reset();
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_COMPRESSORS {
            idle.push(deflate);
        }
        deflated
    }
}

impl Indexed {
    /// Returns `None` if the image has more than 256 colours.
    fn of(image: &RgbaImage) -> Option<Indexed> {
        let mut indices: HashMap<[u8; 4], u8> = HashMap::new();
        let mut palette: Vec<[u8; 4]> = Vec::new();
        let mut pixels = Vec::with_capacity(image.as_raw().len() / 4);
        let mut last = None;
        for pixel in image.pixels() {
            let index = match last {
                Some((colour, index)) if colour == pixel.0 => index,
                _ => match indices.get(&pixel.0) {
                    Some(&index) => index,
                    None => {
                        let index = u8::try_from(palette.len()).ok()?;
                        palette.push(pixel.0);
                        indices.insert(pixel.0, index);
                        index
                    }
                },
            };
            last = Some((pixel.0, index));
            pixels.push(index);
        }
        // Transparent colours go first, so that the tRNS chunk lists only their alphas.
        let mut order: Vec<u8> = (0..=u8::MAX).take(palette.len()).collect();
        order.sort_by_key(|&index| palette[usize::from(index)][3] == u8::MAX);
        let mut moved = [0; 256];
        for (to, &from) in (0..=u8::MAX).zip(&order) {
            moved[usize::from(from)] = to;
        }
        pixels.iter_mut().for_each(|pixel| *pixel = moved[usize::from(*pixel)]);
        Some(Indexed { palette: order.iter().map(|&from| palette[usize::from(from)]).collect(), pixels })
    }

    fn depth(&self) -> BitDepth {
        match self.palette.len() {
            0..=2 => BitDepth::One,
            3..=4 => BitDepth::Two,
            5..=16 => BitDepth::Four,
            _ => BitDepth::Eight,
        }
    }

    fn colours(&self) -> Vec<u8> {
        self.palette.iter().flat_map(|[red, green, blue, _]| [*red, *green, *blue]).collect()
    }

    fn alphas(&self) -> Option<Vec<u8>> {
        let alphas = self.palette.iter().map(|colour| colour[3]).take_while(|alpha| *alpha < u8::MAX);
        Some(alphas.collect()).filter(|alphas: &Vec<u8>| !alphas.is_empty())
    }
}

/// Prepends a row's filter type.
fn filtered(row: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    std::iter::once(UNFILTERED).chain(row)
}

/// Packs a row of indices at a bit depth, the leftmost pixel in the highest bits.
fn packed(row: &[u8], depth: BitDepth) -> impl Iterator<Item = u8> {
    let bits = depth as usize;
    row.chunks(8 / bits).map(move |indices| {
        indices.iter().enumerate().fold(0, |byte, (position, index)| byte | index << (8 - bits * (position + 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Count;

    fn round_trip(colours: u32) -> (RgbaImage, RgbaImage, Vec<u8>) {
        let pixel = |x, y| image::Rgba([(x + y * 37) as u8, (x / 256) as u8, 7, if x % 3 == 0 { 128 } else { 255 }]);
        let image = RgbaImage::from_fn(colours, 1, pixel);
        let stamp = Stamp { count: Count::Exactly(1), epoch: 0, version: 0, stale: false };
        let png = PngEncoder::new().encode(&image, &stamp);
        let decoded = image::load_from_memory(&png).unwrap().into_rgba8();
        (image, decoded, png)
    }

    #[test]
    fn every_number_of_colours_round_trips() {
        for colours in [1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 600] {
            let (image, decoded, png) = round_trip(colours);
            assert!(image == decoded, "{colours} colours");
            let indexed = png.windows(4).any(|name| name == b"PLTE");
            assert_eq!(indexed, colours <= 256, "{colours} colours");
        }
    }

    #[test]
    fn incompressible_pixels_round_trip() {
        // A linear congruential generator: no two rows are equal.
        let mut state = 1_u32;
        let image = RgbaImage::from_fn(300, 200, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgba(state.to_be_bytes())
        });
        let stamp = Stamp { count: Count::Exactly(1), epoch: 0, version: 0, stale: false };
        let png = PngEncoder::new().encode(&image, &stamp);
        assert!(image::load_from_memory(&png).unwrap().into_rgba8() == image);
    }
}
