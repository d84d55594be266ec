//! [`Rasterizer`]: draws a [`Scene`] as pixels.

use std::{collections::HashMap, sync::Arc};

use ab_glyph::{Glyph, Outline, OutlinedGlyph, Point, PxScaleFactor, Rect, point};
use image::RgbaImage;
use parking_lot::Mutex;

use crate::{
    colour::Colour,
    scene::{Element, Paint, Scene, Shade, Shape, Sprite, Stop},
    sprites::{SetName, SpriteCache},
    text::{FontGlyph, Fonts, PositionedGlyph},
};

/// Steps of antialiasing from an empty pixel to a full one: two backgrounds and a text colour then fit a palette of 16.
const STEPS: f32 = 4.0;
/// Up to this em, in device pixels, text has fewer steps: hinted, it has few edges left to smooth, and every shade costs
/// bytes, of which the default badge may have 400.
const SMALL_EM: f32 = 12.0;
const SMALL_TEXT_STEPS: f32 = 2.0;
/// Up to this height of the picture, in device pixels, shapes are not antialiased, for the same reason. A badge's round
/// corner then lacks one pixel.
const SMALL_HEIGHT: u32 = 20;
const SMALL_SHAPE_STEPS: f32 = 1.0;
/// Rounds coverage to steps. A little over a half: edges that halve a pixel exactly are common, and must not depend on
/// the last bit of a sum.
const ROUNDING: f32 = 0.51;
/// Bands of a gradient. With four steps of text colour each, they stay within a palette of 256.
const BANDS: f32 = 40.0;
/// Positions within a pixel at which unhinted glyphs are drawn.
const PHASES: f32 = 4.0;
/// Bytes of glyphs in the cache, at most: some 5,000 of a badge's, or all digits and capitals at the largest size.
const CACHE_BYTES: usize = 1 << 20;

/// How much of each pixel a shape covers.
#[derive(Debug, Default)]
struct Mask {
    left: i32,
    top: i32,
    width: u32,
    /// From 0 to 255, row by row.
    coverage: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct CacheKey {
    glyph: FontGlyph,
    /// The em in 64ths of a device pixel.
    em: u32,
    /// Where in its pixel the glyph begins, in units of 1/[`PHASES`].
    phase: u8,
}

/// Glyphs drawn before.
#[derive(Debug, Default)]
struct GlyphCache {
    masks: HashMap<CacheKey, Arc<Mask>>,
    bytes: usize,
}

impl GlyphCache {
    fn insert(&mut self, key: CacheKey, mask: Arc<Mask>) {
        let bytes = |mask: &Mask| mask.coverage.len() + size_of::<(CacheKey, Mask)>();
        if self.bytes + bytes(&mask) > CACHE_BYTES {
            *self = GlyphCache::default();
        }
        self.bytes += bytes(&mask);
        if let Some(same) = self.masks.insert(key, mask) {
            self.bytes -= bytes(&same);
        }
    }
}

impl Mask {
    /// A rectangle of whole pixels.
    fn rectangle(min: Point, max: Point) -> Mask {
        let (width, height) = ((max.x - min.x) as usize, (max.y - min.y) as usize);
        Mask { left: min.x as i32, top: min.y as i32, width: width as u32, coverage: vec![u8::MAX; width * height] }
    }
}

/// Draws scenes, and caches the glyphs and sprites it has drawn.
#[derive(Debug, Default)]
pub(crate) struct Rasterizer {
    cache: Mutex<GlyphCache>,
    sprites: SpriteCache,
}

impl Rasterizer {
    /// Draws a scene with `scale` device pixels per pixel in each direction.
    pub(crate) fn draw(&self, fonts: &Fonts, scene: &Scene, scale: u32) -> RgbaImage {
        let mut canvas = RgbaImage::new(scene.width * scale, scene.height * scale);
        for element in &scene.elements {
            match element {
                Element::Shape { shape, paint } => draw_shape(&mut canvas, shape, paint, scale as f32),
                Element::Text { line, x, baseline, ink } => {
                    let (x, baseline) = (*x as f32 * scale as f32, *baseline * scale as i32);
                    for positioned in &line.glyphs {
                        let (mask, left) = self.glyph(fonts, positioned, line.em, x, scale as f32);
                        let top = baseline - (positioned.y * scale as f32).round() as i32;
                        fill(&mut canvas, &mask, left, top, |_| (ink.colour, ink.opacity));
                    }
                }
                Element::Sprite(sprite) => self.sprite(&mut canvas, sprite, scene.height, scale),
            }
        }
        canvas
    }

    /// Whether a set's sprites are in the cache, at this height and scale.
    pub(crate) fn has_sprites(&self, set: &SetName, height: u32, scale: u32) -> bool {
        self.sprites.has(set, height, scale)
    }

    /// Draws a sprite in a picture of this height.
    fn sprite(&self, canvas: &mut RgbaImage, sprite: &Sprite, height: u32, scale: u32) {
        let scaled = self.sprites.scaled(&sprite.set_name, &sprite.set, height, scale);
        let Some(image) = &scaled[sprite.number] else { return };
        for (x, y, pixel) in image.enumerate_pixels() {
            let [red, green, blue, alpha] = pixel.0;
            let (colour, opacity) = match sprite.shade {
                Shade::Full => (Colour([red, green, blue]), 1.0),
                Shade::Grey(opacity) => (Colour([red, green, blue]).grey(), opacity),
            };
            let below = canvas.get_pixel_mut(sprite.x * scale + x, y);
            below.0 = over(below.0, colour, f32::from(alpha) / 255.0 * opacity);
        }
    }

    /// Returns a glyph's mask, and the pixel column of the mask's origin.
    fn glyph(&self, fonts: &Fonts, positioned: &PositionedGlyph, em: f32, x: f32, scale: f32) -> (Arc<Mask>, i32) {
        let glyph = positioned.glyph;
        let x = x + if scale > 1.0 { positioned.exact_x * scale } else { positioned.x };
        let step = if glyph.hinted { 1.0 } else { PHASES };
        let x = (x * step).round() / step;
        let key = CacheKey { glyph, em: (em * scale * 64.0).round() as u32, phase: ((x - x.floor()) * PHASES) as u8 };
        if let Some(mask) = self.cache.lock().masks.get(&key) {
            return (Arc::clone(mask), x.floor() as i32);
        }
        // Not under the lock, which other pictures wait for: a large glyph takes a millisecond.
        let typeface = fonts.typeface(glyph.font);
        let steps = if em * scale <= SMALL_EM { SMALL_TEXT_STEPS } else { STEPS };
        let outline =
            if glyph.hinted { typeface.hinted(glyph.id, em * scale) } else { typeface.scaled(glyph.id, em * scale) };
        let mask = Arc::new(outline.map(|outline| mask(outline, 1.0, 1.0, x - x.floor(), steps)).unwrap_or_default());
        self.cache.lock().insert(key, Arc::clone(&mask));
        (mask, x.floor() as i32)
    }
}

/// Rasterizes an outline. `vertical` is negative for outlines that are measured downwards.
fn mask(outline: Outline, horizontal: f32, vertical: f32, x: f32, steps: f32) -> Mask {
    let glyph = Glyph { id: Default::default(), scale: 1.0.into(), position: point(x, 0.0) };
    let outlined = OutlinedGlyph::new(glyph, outline, PxScaleFactor { horizontal, vertical });
    let bounds = outlined.px_bounds();
    let (width, height) = (bounds.width() as u32, bounds.height() as u32);
    let mut mask = Mask {
        left: bounds.min.x as i32,
        top: bounds.min.y as i32,
        width,
        coverage: vec![0; width as usize * height as usize],
    };
    outlined.draw(|x, y, coverage| {
        let coverage = f32::from((coverage.clamp(0.0, 1.0) * steps + ROUNDING) as u8) / steps;
        if let Some(pixel) = mask.coverage.get_mut((y * width + x) as usize) {
            *pixel = (coverage * 255.0 + 0.5) as u8;
        }
    });
    mask
}

fn draw_shape(canvas: &mut RgbaImage, shape: &Shape, paint: &Paint, scale: f32) {
    let (top, height) = (shape.min.y * scale, (shape.max.y - shape.min.y) * scale);
    let paint = |row: i32| match paint {
        Paint::Solid(colour) => (*colour, 1.0),
        Paint::Gradient(stops) => gradient(stops, (row as f32 + 0.5 - top) / height),
    };
    let mask = if shape.is_pixel_aligned() {
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

/// Returns a gradient's colour and opacity at a position from 0 to 1.
fn gradient(stops: &[Stop], at: f32) -> (Colour, f32) {
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

/// Paints the pixels of a mask. The paint may differ by row.
fn fill(canvas: &mut RgbaImage, mask: &Mask, left: i32, top: i32, paint: impl Fn(i32) -> (Colour, f32)) {
    let (width, height) = (canvas.width() as i32, canvas.height() as i32);
    let left = left + mask.left;
    let columns = (-left).clamp(0, mask.width as i32) as usize..(width - left).clamp(0, mask.width as i32) as usize;
    if columns.is_empty() {
        return;
    }
    for (row, coverage) in (top + mask.top..).zip(mask.coverage.chunks_exact(mask.width as usize)) {
        if !(0..height).contains(&row) {
            continue;
        }
        let (colour, opacity) = paint(row);
        let coverage = &coverage[columns.clone()];
        let first = (row * width + left + columns.start as i32) as usize;
        let pixels = canvas.as_chunks_mut::<4>().0;
        // Neighbouring pixels are mostly equal: the last result is reused.
        let mut last = None;
        for (pixel, &coverage) in pixels[first..].iter_mut().zip(coverage).filter(|(_, coverage)| **coverage > 0) {
            let blended = match last {
                Some((before, blended)) if before == (*pixel, coverage) => blended,
                _ => over(*pixel, colour, f32::from(coverage) / 255.0 * opacity),
            };
            last = Some(((*pixel, coverage), blended));
            *pixel = blended;
        }
    }
}

/// Composites a colour over a pixel (Porter and Duff's "over").
fn over(below: [u8; 4], colour: Colour, opacity: f32) -> [u8; 4] {
    let [red, green, blue, alpha] = below;
    let below_opacity = f32::from(alpha) / 255.0;
    let combined = opacity + below_opacity * (1.0 - opacity);
    if combined <= 0.0 {
        return below;
    }
    let [red, green, blue] = Colour([red, green, blue]).mix(colour, opacity / combined).0;
    [red, green, blue, (combined * 255.0 + 0.5) as u8]
}
