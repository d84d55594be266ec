//! How long a picture takes to draw, estimated before it is drawn.

use std::{collections::HashSet, time::Duration};

use crate::{
    format::Format,
    look::{Look, Style},
    sprites::SpriteSet,
    text::Fonts,
};

/// Nanoseconds that every picture takes. All figures here are of an optimized build without a glyph in the cache.
const PICTURE: f32 = 40_000.0;
/// For each run of characters from one font: the shaper reads the font's tables.
const RUN: f32 = 10_000.0;
/// For each curve that is written into an SVG.
const SVG_CURVE: f32 = 400.0;
/// For each curve that is rasterized, and for each row of pixels that it may cross.
const CURVE: f32 = 250.0;
const CURVE_ROW: f32 = 3.0;
/// For each pixel of the picture, by format.
const PNG_PIXEL: f32 = 18.0;
const JPEG_PIXEL: f32 = 32.0;
/// For each pixel of an odometer's drums, which are shaded.
const DRUM_PIXEL: f32 = 30.0;
/// For a set of sprites that becomes links for the first time.
const SPRITE_SHEET: f32 = 20_000_000.0;
/// For each pixel of a set of sprites, which is resized as a whole, and its colours reduced: those of the picture, and those of the
/// set itself.
const SPRITE_PIXEL: f32 = 90.0;
const SPRITE_SOURCE_PIXEL: f32 = 40.0;

/// `set` is the set of sprites, if it has yet to be made ready for such pictures.
pub(crate) fn estimate(fonts: &Fonts, set: Option<&SpriteSet>, look: &Look, number: &str, format: Format) -> Duration {
    let number_font = if look.style() == Style::Odometer { fonts.odometer() } else { Fonts::MAIN };
    let height = (look.height() * look.scale()) as f32;
    let (mut nanos, mut width, mut last_font) = (PICTURE, height, None);
    let mut rasterized = HashSet::new();
    let label = look.label().chars().map(|character| (character, Fonts::MAIN));
    for (character, preferred) in label.chain(number.chars().map(|character| (character, number_font))) {
        let has = fonts.typeface(preferred).glyph(character).is_some();
        let font = if has { preferred } else { fonts.font_of(character).unwrap_or(preferred) };
        let typeface = fonts.typeface(font);
        let Some(glyph) = typeface.glyph(character) else { continue };
        if last_font.replace(font) != Some(font) {
            nanos += RUN;
        }
        if format == Format::Svg {
            nanos += typeface.curves(glyph) as f32 * SVG_CURVE;
        } else if rasterized.insert((font, glyph)) {
            nanos += typeface.curves(glyph) as f32 * (CURVE + CURVE_ROW * height);
        }
        width += typeface.advance(glyph) * typeface.factor(typeface.em_for_digits(height / 2.0));
    }
    let drums = if look.style() == Style::Odometer { number.chars().count() as f32 * 0.6 * height } else { 0.0 };
    nanos += match format {
        Format::Png => height * (width * PNG_PIXEL + drums * DRUM_PIXEL),
        Format::Jpeg => height * (width * JPEG_PIXEL + drums * DRUM_PIXEL),
        Format::Svg => 0.0,
    };
    if let Some(set) = set {
        nanos += set.source_pixels() * SPRITE_SOURCE_PIXEL;
        nanos += match format {
            Format::Svg => SPRITE_SHEET,
            Format::Png | Format::Jpeg => set.pixels(height) * SPRITE_PIXEL,
        };
    }
    Duration::from_nanos(nanos as u64)
}
