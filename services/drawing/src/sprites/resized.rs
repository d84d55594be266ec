//! Resizes an image for a picture.

use image::{
    Rgba, Rgba32FImage, RgbaImage,
    imageops::{FilterType, resize},
};

/// A set up to this height is taken for pixel art: several times as large, its pixels become squares.
const PIXEL_ART_HEIGHT: u32 = 32;

/// Resizes an image. The colours of transparent pixels do not bleed into others.
pub(super) fn resized(image: &RgbaImage, width: u32, height: u32) -> RgbaImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    if image.height() <= PIXEL_ART_HEIGHT && height.is_multiple_of(image.height()) {
        return resize(image, width, height, FilterType::Nearest);
    }
    let premultiplied = Rgba32FImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(|channel| f32::from(channel) / 255.0);
        Rgba([red * alpha, green * alpha, blue * alpha, alpha])
    });
    // A polynomial: its bits are the same on every machine.
    let resized = resize(&premultiplied, width, height, FilterType::CatmullRom);
    RgbaImage::from_fn(width, height, |x, y| {
        let [red, green, blue, alpha] = resized.get_pixel(x, y).0;
        let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        match byte(alpha) {
            0 => Rgba([0; 4]),
            opacity => Rgba([byte(red / alpha), byte(green / alpha), byte(blue / alpha), opacity]),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparent_pixels_do_not_bleed() {
        let image =
            RgbaImage::from_fn(40, 40, |x, _| if x < 20 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 255, 0, 0]) });
        for (width, height) in [(13, 13), (97, 97)] {
            for pixel in resized(&image, width, height).pixels() {
                assert!(pixel.0[3] == 0 || (pixel.0[0] >= 250 && pixel.0[1] <= 5), "{pixel:?}");
            }
        }
    }

    #[test]
    fn pixel_art_keeps_its_pixels() {
        let image =
            RgbaImage::from_fn(8, 16, |x, y| if (x + y) % 2 == 0 { Rgba([0, 0, 0, 255]) } else { Rgba([255; 4]) });
        let doubled = resized(&image, 16, 32);
        assert!(doubled.enumerate_pixels().all(|(x, y, pixel)| pixel == image.get_pixel(x / 2, y / 2)));
    }
}
