//! What the styles share: sizes derived from the height, and the mark of a stale number.

use crate::{
    colour::Colour,
    scene::{Element, Paint, Scene, Shape},
};

/// The mark of a stale number: an amber that stands out from every background.
const STALE: Colour = Colour([0xff, 0xb0, 0x1f]);
/// Digits up to this height are made as large as the picture allows.
const SMALL_DIGITS: u32 = 8;

/// Returns a share of a height, in whole pixels.
pub(crate) fn share(height: u32, share: f32) -> u32 {
    (height as f32 * share).round() as u32
}

/// Returns the height of the digits: the nearest to `preferred` that leaves the same number of pixels above and below.
pub(crate) fn digit_height(height: u32, preferred: f32) -> u32 {
    let preferred = preferred.max(SMALL_DIGITS.min(height - 6) as f32);
    let margin = ((height as f32 - preferred) / 2.0 - 0.001).round() as u32;
    height - 2 * margin
}

/// Returns the baseline that centres digits of a height.
pub(crate) fn baseline(height: u32, digit_height: u32) -> i32 {
    (height - (height - digit_height) / 2) as i32
}

/// Marks a picture as stale, in its top right corner.
pub(crate) fn mark_stale(scene: &mut Scene, radius: f32) {
    let size = share(scene.height, 0.3).max(4) as f32;
    let shape = Shape::corner_triangle((scene.width as f32, 0.0), size, radius);
    scene.elements.push(Element::Shape { shape, paint: Paint::Solid(STALE) });
}
