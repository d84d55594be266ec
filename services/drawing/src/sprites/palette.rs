//! Reduces the colours of sprites: a picture of up to 256 is indexed, and a frame of a stream some times smaller.

use std::collections::HashSet;

use color_quant::NeuQuant;
use image::RgbaImage;

/// Pixels that the colours are learned from, about.
const LEARNED_PIXELS: usize = 30_000;
/// What the learning of one pixel in so many still learns from.
const SPARSEST: usize = 30;
/// How near to nothing or to all an opacity is taken for it: learned colours are a little off.
const OPACITY_SLACK: u8 = 8;

/// Leaves at most `colours` colours in all of the images together, at least 64, and what is transparent besides.
pub(super) fn reduce(images: &mut [Option<RgbaImage>], colours: usize) {
    let mut pixels = Vec::new();
    let mut distinct = HashSet::new();
    for pixel in images.iter_mut().flatten().flat_map(|image| image.pixels_mut()) {
        if pixel.0[3] == 0 {
            pixel.0 = [0; 4];
        } else {
            pixels.extend_from_slice(&pixel.0);
            if distinct.len() <= colours {
                distinct.insert(pixel.0);
            }
        }
    }
    if distinct.len() <= colours {
        return;
    }
    let sparse = (pixels.len() / 4 / LEARNED_PIXELS).clamp(1, SPARSEST);
    let palette = NeuQuant::new(sparse as i32, colours, &pixels);
    for pixel in images.iter_mut().flatten().flat_map(|image| image.pixels_mut()).filter(|pixel| pixel.0[3] > 0) {
        palette.map_pixel(&mut pixel.0);
        match pixel.0[3] {
            0..OPACITY_SLACK => pixel.0 = [0; 4],
            opacity if opacity > u8::MAX - OPACITY_SLACK => pixel.0[3] = u8::MAX,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colours(images: &[Option<RgbaImage>]) -> usize {
        images.iter().flatten().flat_map(|image| image.pixels()).map(|pixel| pixel.0).collect::<HashSet<_>>().len()
    }

    #[test]
    fn few_colours_stay_and_many_become_few() {
        let few = RgbaImage::from_fn(8, 8, |x, y| image::Rgba([x as u8 * 30, y as u8 * 30, 7, 255]));
        let mut images = [Some(few.clone()), None];
        reduce(&mut images, 64);
        assert_eq!(images[0].as_ref(), Some(&few));
        let many =
            RgbaImage::from_fn(64, 64, |x, y| image::Rgba([x as u8 * 4, y as u8 * 4, 99, if x < 9 { 0 } else { 255 }]));
        let mut images = [Some(many.clone()), Some(few)];
        reduce(&mut images, 64);
        assert!((32..=65).contains(&colours(&images)), "{}", colours(&images));
        let reduced = images[0].as_ref().expect("it is there");
        let off: u64 = many
            .pixels()
            .zip(reduced.pixels())
            .filter(|(one, _)| one.0[3] > 0)
            .map(|(one, other)| {
                assert_eq!(other.0[3], 255);
                one.0.iter().zip(other.0).map(|(one, other)| u64::from(one.abs_diff(other))).sum::<u64>()
            })
            .sum();
        assert!(off / (64 * 55) < 40, "{}", off / (64 * 55));
        assert!(reduced.pixels().zip(many.pixels()).all(|(other, one)| one.0[3] > 0 || other.0 == [0; 4]));
    }
}
