//! What the styles have in common: sizes that follow from the height, and the mark of a stale number.

use crate::{
    colour::Colour,
    scene::{Mark, Paint, Scene, Shape},
};

/// The mark of a number that is not up to date: an amber that stands out from every ground.
const STALE: Colour = Colour([0xff, 0xb0, 0x1f]);
/// Figures no higher than this are made as large as the picture allows.
const SMALL_FIGURES: u32 = 8;

/// A share of a height in whole pixels.
pub(crate) fn share(height: u32, share: f32) -> u32 {
    (height as f32 * share).round() as u32
}

/// The height of figures in a picture: as near to `wish` as leaves equally many pixels above and below.
pub(crate) fn figure_height(height: u32, wish: f32) -> u32 {
    let wish = wish.max(SMALL_FIGURES.min(height - 6) as f32);
    let halves = ((height as f32 - wish) / 2.0 - 0.001).round() as u32;
    height - 2 * halves
}

/// The baseline that centres figures of a height.
pub(crate) fn baseline(height: u32, figure_height: u32) -> i32 {
    (height - (height - figure_height) / 2) as i32
}

/// Marks a picture as not up to date, in its top right corner.
pub(crate) fn mark_stale(scene: &mut Scene, radius: f32) {
    let size = share(scene.height, 0.3).max(4) as f32;
    let shape = Shape::dog_ear((scene.width as f32, 0.0), size, radius);
    scene.marks.push(Mark::Shape { shape, paint: Paint::Solid(STALE) });
}
