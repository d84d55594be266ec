//! Encodes pixels as JPEG. Transparent ones are put on white.

use image::RgbaImage;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::{
    colour::Colour,
    stamp::{KEYWORD, Stamp},
};

/// The highest quality at which the default badge stays within 1.5 KiB. Optimized Huffman tables would save a third of
/// that, but this encoder then writes a scan per channel, which `zune-jpeg`, and so the `image` crate, decodes wrongly.
const QUALITY: u8 = 78;

/// Encodes an image with its stamp.
pub(crate) fn encode(image: &RgbaImage, stamp: &Stamp) -> Vec<u8> {
    let colours = || {
        image.pixels().map(|pixel| {
            let [red, green, blue, alpha] = pixel.0;
            Colour::WHITE.mix(Colour([red, green, blue]), f32::from(alpha) / 255.0).0
        })
    };
    let grey = colours().all(|[red, green, blue]| red == green && green == blue);
    let (samples, kind): (Vec<u8>, _) = if grey {
        (colours().map(|[grey, ..]| grey).collect(), ColorType::Luma)
    } else {
        (colours().flatten().collect(), ColorType::Rgb)
    };
    let mut bytes = Vec::with_capacity(2048);
    let mut encoder = Encoder::new(&mut bytes, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    let (width, height) = (image.width() as u16, image.height() as u16);
    encoder.encode(&samples, width, height, kind).expect("the number of samples matches the size");
    with_comment(&bytes, &format!("{KEYWORD} {stamp}"))
}

/// Inserts a comment segment after the start of the image, which the encoder cannot do.
fn with_comment(image: &[u8], comment: &str) -> Vec<u8> {
    const START_BYTES: usize = 2;
    const LENGTH_BYTES: u16 = 2;
    let (start, rest) = image.split_at(START_BYTES);
    let mut bytes = Vec::with_capacity(image.len() + comment.len() + 4);
    bytes.extend_from_slice(start);
    bytes.extend_from_slice(&[0xff, 0xfe]);
    bytes.extend_from_slice(&(comment.len() as u16 + LENGTH_BYTES).to_be_bytes());
    bytes.extend_from_slice(comment.as_bytes());
    bytes.extend_from_slice(rest);
    bytes
}
