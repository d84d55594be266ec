//! [`SpriteSet`]: the pictures of one set, as large as they are in their files.

use std::sync::OnceLock;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use image::RgbaImage;

use super::{palette, resized::resized};
use crate::encode::png::PngEncoder;

/// Digits of a set, each of which it must have.
pub(super) const DIGITS: usize = 10;
/// What sprites can show, and the names of their files. All but the digits may be missing: then fonts draw the character.
pub(super) const SPRITES: [(char, &str); 19] = [
    ('0', "0"),
    ('1', "1"),
    ('2', "2"),
    ('3', "3"),
    ('4', "4"),
    ('5', "5"),
    ('6', "6"),
    ('7', "7"),
    ('8', "8"),
    ('9', "9"),
    (',', "comma"),
    ('.', "dot"),
    ('<', "less"),
    ('k', "k"),
    ('M', "m"),
    ('G', "g"),
    ('T', "t"),
    ('P', "p"),
    ('E', "e"),
];
/// Most colours where they are shown as they are: in documents and in SVGs.
const SHEET_COLOURS: usize = 128;
/// Most bytes of the PNG with all digits, which documents link, and most pixels of a digit's height in it. Where a set takes more,
/// its digits are made smaller.
const SHEET_BYTES: usize = 40 << 10;
const SHEET_HEIGHT: u32 = 96;

/// Height in pixels of the largest picture: 96 pixels, 3 device pixels for each. More of a sprite is never seen.
const MOST_HEIGHT: u32 = 288;

/// The sprites of one set. All are equally high.
#[derive(Debug)]
pub struct SpriteSet {
    pub(super) height: u32,
    /// In the order of [`SPRITES`].
    pub(super) images: [Option<RgbaImage>; SPRITES.len()],
    links: OnceLock<Links>,
}

/// The sprites as files: all digits in one PNG, and each as a data URI.
#[derive(Debug)]
struct Links {
    digits: Vec<u8>,
    each: [Option<String>; SPRITES.len()],
}

impl SpriteSet {
    /// A set of these sprites. The digits are among them, and all are `height` pixels high.
    pub(super) fn new(height: u32, images: [Option<RgbaImage>; SPRITES.len()]) -> SpriteSet {
        SpriteSet { height, images, links: OnceLock::new() }
    }

    /// The same set, no higher than the largest picture.
    #[must_use]
    pub(super) fn reduced(self) -> SpriteSet {
        if self.height <= MOST_HEIGHT {
            return self;
        }
        let images = self
            .images
            .each_ref()
            .map(|image| image.as_ref().map(|image| resized(image, self.at_height(image, MOST_HEIGHT), MOST_HEIGHT)));
        SpriteSet::new(MOST_HEIGHT, images)
    }

    /// The pixels of all sprites.
    pub(crate) fn source_pixels(&self) -> f32 {
        (self.bytes() / 4) as f32
    }

    /// The bytes of its pixels.
    pub(super) fn bytes(&self) -> usize {
        self.images.iter().flatten().map(|image| image.as_raw().len()).sum()
    }

    /// The sprite that shows a character, if the set has one.
    pub(crate) fn sprite(&self, character: char) -> Option<usize> {
        let sprite = SPRITES.iter().position(|(shown, _)| *shown == character)?;
        self.images[sprite].as_ref().map(|_| sprite)
    }

    /// The width of a sprite, in pixels, at a height.
    pub(crate) fn width(&self, sprite: usize, height: u32) -> u32 {
        self.images[sprite].as_ref().map_or(0, |image| self.at_height(image, height))
    }

    /// The width of every digit, in pixels, at a height: that of the widest. So numbers with equally many digits are equally
    /// wide.
    pub fn digit_width(&self, height: u32) -> u32 {
        (0..DIGITS).map(|digit| self.width(digit, height)).max().unwrap_or_default()
    }

    /// The width of a digit in its height.
    pub fn digit_aspect(&self) -> f32 {
        self.digit_width(self.height) as f32 / self.height as f32
    }

    /// The pixels of all sprites at a height.
    pub(crate) fn pixels(&self, height: f32) -> f32 {
        let widths: u32 = self.images.iter().flatten().map(RgbaImage::width).sum();
        widths as f32 * height * height / self.height as f32
    }

    fn at_height(&self, image: &RgbaImage, height: u32) -> u32 {
        let exact = image.width() as f32 * height as f32 / self.height as f32;
        (exact.round() as u32).max(1)
    }

    /// A PNG of all ten digits below one another, of at most 40 KiB. Each takes a tenth of its height and all of its width. It is
    /// made when it is first asked for, which takes as long as a large picture.
    pub fn digits_png(&self) -> &[u8] {
        &self.links().digits
    }

    /// A PNG of a sprite, as a data URI.
    pub(crate) fn uri(&self, sprite: usize) -> &str {
        self.links().each[sprite].as_deref().unwrap_or_default()
    }

    /// Whether the PNG of the digits and the data URIs have been made.
    pub(crate) fn has_links(&self) -> bool {
        self.links.get().is_some()
    }

    fn links(&self) -> &Links {
        self.links.get_or_init(|| {
            let uri = |png: &[u8]| format!("data:image/png;base64,{}", BASE64.encode(png));
            let encoder = PngEncoder::new();
            let mut height = self.height.min(SHEET_HEIGHT);
            loop {
                let mut small = self.images.clone();
                for image in small.iter_mut().flatten() {
                    *image = resized(image, self.at_height(image, height), height);
                }
                palette::reduce(&mut small, SHEET_COLOURS);
                let digits = encoder.encode(&below_one_another(&small[..DIGITS], height), None);
                if digits.len() <= SHEET_BYTES || height <= super::picture::LEAST_HEIGHT {
                    let each = small.map(|image| image.map(|image| uri(&encoder.encode(&image, None))));
                    return Links { digits, each };
                }
                height = (height * 3 / 4).max(super::picture::LEAST_HEIGHT);
            }
        })
    }
}

/// Puts sprites of this height below one another, each in the middle of its row.
fn below_one_another(sprites: &[Option<RgbaImage>], height: u32) -> RgbaImage {
    let sprites = || sprites.iter().flatten();
    let width = sprites().map(RgbaImage::width).max().unwrap_or(1);
    let mut sheet = RgbaImage::new(width, height * sprites().count() as u32);
    for (row, sprite) in sprites().enumerate() {
        let (x, y) = ((width - sprite.width()) / 2, row as u32 * height);
        image::imageops::replace(&mut sheet, sprite, x.into(), y.into());
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_no_higher_than_the_largest_picture() {
        let set = |height: u32| {
            let images = std::array::from_fn(|sprite| (sprite < DIGITS).then(|| RgbaImage::new(height / 2, height)));
            SpriteSet::new(height, images).reduced()
        };
        for (height, kept) in [(512, 288), (289, 288), (288, 288), (40, 40)] {
            let set = set(height);
            assert_eq!((set.height, set.digit_width(kept)), (kept, kept / 2), "{height}");
            assert!(set.images.iter().flatten().all(|image| image.height() == kept));
        }
        assert!(set(512).bytes() < set(290).bytes() * 101 / 100);
    }
}
