//! Carries a [`Scene`] out in pixels.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ab_glyph::{Glyph, Outline, OutlinedGlyph, Point, PxScaleFactor, Rect, point};
use image::RgbaImage;

use crate::{
    colour::Colour,
    scene::{Mark, Paint, Scene, Shape, Stop},
    text::{FontGlyph, Fonts, Placed},
};

/// Steps from an empty pixel to a full one, along the edges of type and shapes: two grounds and an ink then fit a
/// palette of 16.
const STEPS: f32 = 4.0;
/// Up to this em, type has fewer: fitted to the pixels, it has few edges left to smooth, and every shade costs bytes,
/// of which the default badge may have 400.
const SMALL_EM: f32 = 12.0;
const SMALL_TYPE_STEPS: f32 = 2.0;
/// Up to this height in pixels, shapes are either there or not, for the same reason: of a badge's round corner that
/// leaves a pixel cut off.
const SMALL_HEIGHT: u32 = 20;
const SMALL_SHAPE_STEPS: f32 = 1.0;
/// Rounds a share to steps. A little over a half: edges that halve a pixel exactly are common, and must not depend on
/// the last bit of a processor's sum.
const ROUNDING: f32 = 0.51;
/// Bands of a shaded shape: with four steps of ink each they stay within a palette of 256.
const BANDS: f32 = 40.0;
/// Glyphs that are not fitted stand at quarters of a pixel.
const PHASES: f32 = 4.0;
/// Bytes of drawn glyphs kept, at most: some 5,000 of a badge's, or all digits and capitals at the largest size.
const KEPT_BYTES: usize = 1 << 20;

/// The share of each pixel that a shape covers, from 0 to 255.
#[derive(Debug, Default)]
struct Mask {
    left: i32,
    top: i32,
    width: u32,
    shares: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    glyph: FontGlyph,
    /// The em in 64ths of a device pixel.
    em: u32,
    /// Where in its pixel the glyph begins, in [`PHASES`].
    phase: u8,
}

/// Glyphs drawn before.
#[derive(Debug, Default)]
struct Kept {
    masks: HashMap<Key, Arc<Mask>>,
    bytes: usize,
}

impl Mask {
    /// All of the pixels between two corners that lie between pixels.
    fn rectangle(min: Point, max: Point) -> Mask {
        let (width, height) = ((max.x - min.x) as usize, (max.y - min.y) as usize);
        Mask { left: min.x as i32, top: min.y as i32, width: width as u32, shares: vec![u8::MAX; width * height] }
    }
}

/// Draws scenes, and keeps the glyphs it has drawn.
#[derive(Debug, Default)]
pub(crate) struct Raster {
    kept: Mutex<Kept>,
}

impl Raster {
    /// The scene's pixels, `scale` to each of its own in both directions.
    pub(crate) fn draw(&self, fonts: &Fonts, scene: &Scene, scale: u32) -> RgbaImage {
        let mut canvas = RgbaImage::new(scene.width * scale, scene.height * scale);
        for mark in &scene.marks {
            match mark {
                Mark::Shape { shape, paint } => draw_shape(&mut canvas, shape, paint, scale as f32),
                Mark::Text { line, x, baseline, colour } => {
                    let (x, baseline) = (*x as f32 * scale as f32, *baseline * scale as i32);
                    for placed in &line.glyphs {
                        let (mask, left) = self.glyph(fonts, placed, line.em, x, scale as f32);
                        let top = baseline - (placed.y * scale as f32).round() as i32;
                        fill(&mut canvas, &mask, left, top, |_| (*colour, 1.0));
                    }
                }
            }
        }
        canvas
    }

    /// A glyph's mask, and the pixel column that the mask's zero falls on.
    fn glyph(&self, fonts: &Fonts, placed: &Placed, em: f32, x: f32, scale: f32) -> (Arc<Mask>, i32) {
        let glyph = placed.glyph;
        let x = x + if scale > 1.0 { placed.exact_x * scale } else { placed.x };
        let step = if glyph.fitted { 1.0 } else { PHASES };
        let x = (x * step).round() / step;
        let key = Key { glyph, em: (em * scale * 64.0).round() as u32, phase: ((x - x.floor()) * PHASES) as u8 };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mask) = kept.masks.get(&key) {
            return (Arc::clone(mask), x.floor() as i32);
        }
        let typeface = fonts.typeface(glyph.font);
        let steps = if em * scale <= SMALL_EM { SMALL_TYPE_STEPS } else { STEPS };
        let outline =
            if glyph.fitted { typeface.fitted(glyph.id, em * scale) } else { typeface.scaled(glyph.id, em * scale) };
        let mask = Arc::new(outline.map(|outline| mask(outline, 1.0, 1.0, x - x.floor(), steps)).unwrap_or_default());
        let bytes = mask.shares.len() + size_of::<(Key, Mask)>();
        if kept.bytes + bytes > KEPT_BYTES {
            *kept = Kept::default();
        }
        kept.bytes += bytes;
        kept.masks.insert(key, Arc::clone(&mask));
        (mask, x.floor() as i32)
    }
}

/// Covers pixels with an outline; `vertical` is negative for outlines that are measured downwards.
fn mask(outline: Outline, horizontal: f32, vertical: f32, x: f32, steps: f32) -> Mask {
    let glyph = Glyph { id: Default::default(), scale: 1.0.into(), position: point(x, 0.0) };
    let outlined = OutlinedGlyph::new(glyph, outline, PxScaleFactor { horizontal, vertical });
    let bounds = outlined.px_bounds();
    let (width, height) = (bounds.width() as u32, bounds.height() as u32);
    let mut mask = Mask {
        left: bounds.min.x as i32,
        top: bounds.min.y as i32,
        width,
        shares: vec![0; width as usize * height as usize],
    };
    outlined.draw(|x, y, share| {
        let share = f32::from((share.clamp(0.0, 1.0) * steps + ROUNDING) as u8) / steps;
        if let Some(pixel) = mask.shares.get_mut((y * width + x) as usize) {
            *pixel = (share * 255.0 + 0.5) as u8;
        }
    });
    mask
}

fn draw_shape(canvas: &mut RgbaImage, shape: &Shape, paint: &Paint, scale: f32) {
    let (top, height) = (shape.min.y * scale, (shape.max.y - shape.min.y) * scale);
    let paint = |row: i32| match paint {
        Paint::Solid(colour) => (*colour, 1.0),
        Paint::Shaded(stops) => shade(stops, (row as f32 + 0.5 - top) / height),
    };
    let mask = if shape.is_upright() {
        let pixels = |at: Point| point(at.x * scale, at.y * scale);
        Mask::rectangle(pixels(shape.min), pixels(shape.max))
    } else {
        let bounds = Rect { min: shape.min, max: shape.max };
        let outline = Outline { bounds, curves: shape.curves.clone() };
        let steps = if canvas.height() <= SMALL_HEIGHT { SMALL_SHAPE_STEPS } else { STEPS };
        mask(outline, scale, -scale, 0.0, steps)
    };
    fill(canvas, &mask, 0, 0, paint);
}

/// A shaded shape's colour and opacity at a height from 0 to 1.
fn shade(stops: &[Stop], at: f32) -> (Colour, f32) {
    let next = stops.partition_point(|stop| stop.at <= at);
    match (next.checked_sub(1).and_then(|index| stops.get(index)), stops.get(next)) {
        (Some(above), Some(below)) => {
            let at = ((at * BANDS).floor() + 0.5) / BANDS;
            let share = (at - above.at) / (below.at - above.at);
            (above.colour.mix(below.colour, share), above.opacity + (below.opacity - above.opacity) * share)
        }
        (Some(stop), None) | (None, Some(stop)) => (stop.colour, stop.opacity),
        (None, None) => (Colour::BLACK, 0.0),
    }
}

/// Lays paint over the pixels of a mask; the paint may differ by row.
fn fill(canvas: &mut RgbaImage, mask: &Mask, left: i32, top: i32, paint: impl Fn(i32) -> (Colour, f32)) {
    let (width, height) = (canvas.width() as i32, canvas.height() as i32);
    let left = left + mask.left;
    let columns = (-left).clamp(0, mask.width as i32) as usize..(width - left).clamp(0, mask.width as i32) as usize;
    if columns.is_empty() {
        return;
    }
    for (row, shares) in (top + mask.top..).zip(mask.shares.chunks_exact(mask.width as usize)) {
        if !(0..height).contains(&row) {
            continue;
        }
        let (colour, opacity) = paint(row);
        let shares = &shares[columns.clone()];
        let first = (row * width + left + columns.start as i32) as usize;
        let pixels = canvas.as_chunks_mut::<4>().0;
        // Neighbours are mostly alike, and so is what becomes of them.
        let mut last = None;
        for (pixel, &share) in pixels[first..].iter_mut().zip(shares).filter(|(_, share)| **share > 0) {
            let covered = match last {
                Some((before, covered)) if before == (*pixel, share) => covered,
                _ => over(*pixel, colour, f32::from(share) / 255.0 * opacity),
            };
            last = Some(((*pixel, share), covered));
            *pixel = covered;
        }
    }
}

fn over(below: [u8; 4], colour: Colour, opacity: f32) -> [u8; 4] {
    let [red, green, blue, alpha] = below;
    let below_opacity = f32::from(alpha) / 255.0;
    let together = opacity + below_opacity * (1.0 - opacity);
    if together <= 0.0 {
        return below;
    }
    let [red, green, blue] = Colour([red, green, blue]).mix(colour, opacity / together).0;
    [red, green, blue, (together * 255.0 + 0.5) as u8]
}
