//! The mark of a number that is not live: it and its ground lose their colours, all text fades, and a line strikes the number
//! out. The number stays readable, because it is the last that was known.
//!
//! A look may have no colours to lose, and the page shows no live picture to compare with: the line alone must say it.

use std::ops::Range;

use super::layout::share;
use crate::{
    colour::Colour,
    figure::Figure,
    look::Look,
    scene::{Element, Ink, Paint, Rounded, Scene, Shade, Shape},
};

/// Opacity of faded text. The line stands out from it, and it stays readable: live text with a contrast of 4.5, the least that
/// WCAG allows for small text, keeps one of 2.9 or more. The default badge has 5.3, and marked 4.1.
const FADED: f32 = 0.8;
/// Thickness of the line, as a share of the picture's height.
const THICKNESS: f32 = 0.06;
/// How far the line is below the middle of the digits, as a share of their height: where fonts put it. In their middle it would
/// hide the bar that tells an 8 from a 0.
const BELOW_MIDDLE: f32 = 0.12;
/// How far it is below the middle of sprites, as a share of the picture's height, and how thick the black beside it is.
const SPRITES_BELOW_MIDDLE: f32 = 0.05;
const CASING: f32 = 0.03;
/// How far the line reaches beyond the number at either end, as a share of the picture's height.
const OVERHANG: f32 = 0.1;
/// Least difference of the line from its ground, in steps of 255. Where the text has less, the line is black or white.
const LEAST_DIFFERENCE: u8 = 64;

/// Whether a picture shows its number as live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// In the look's own colours.
    Live,
    /// Marked as not live.
    Marked,
}

impl Tone {
    /// The tone of a figure's picture.
    pub(crate) fn of(figure: &Figure) -> Tone {
        if figure.stale { Tone::Marked } else { Tone::Live }
    }

    /// The colour of the number's ground.
    pub(crate) fn ground(self, colour: Colour) -> Colour {
        match self {
            Tone::Live => colour,
            Tone::Marked => colour.grey(),
        }
    }

    /// What text of this colour is drawn with.
    pub(crate) fn ink(self, colour: Colour) -> Ink {
        match self {
            Tone::Live => Ink { colour, opacity: 1.0 },
            Tone::Marked => Ink { colour: colour.grey(), opacity: FADED },
        }
    }

    /// What sprites are painted with.
    pub(crate) fn shade(self) -> Shade {
        match self {
            Tone::Live => Shade::Full,
            Tone::Marked => Shade::Grey(FADED),
        }
    }
}

/// Draws a level line through a number whose digits are centred. Columns and height are pixels.
pub(crate) fn strike_out(scene: &mut Scene, look: &Look, columns: Range<u32>, digit_height: u32) {
    let thickness = share(scene.height, THICKNESS).max(1);
    let below_middle = digit_height as f32 * BELOW_MIDDLE;
    let top = ((scene.height - thickness) as f32 / 2.0 + below_middle).floor();
    let (left, right) = (columns.start as f32, columns.end as f32);
    let shape = Shape::rectangle((left, top), (right, top + thickness as f32), 0.0, Rounded::None);
    draw_line(scene, look, shape);
}

/// Draws a rising line through a number, from the lower left corner of a window to the upper right one. For digits on drums: a
/// level line looks like a seam of theirs.
pub(crate) fn cross_out(scene: &mut Scene, look: &Look, columns: Range<u32>, rows: Range<u32>) {
    // As thick as the level one, measured across a steep line.
    let thickness = share(scene.height, THICKNESS).max(1) as f32;
    let (run, rise) = ((columns.end - columns.start) as f32, (rows.end - rows.start) as f32 - thickness);
    let thickness = thickness * (run.hypot(rise) / run).min(2.0);
    let (left, right) = (columns.start as f32, columns.end as f32);
    let shape = Shape::band((left, rows.end as f32 - thickness), (right, rows.start as f32), thickness);
    draw_line(scene, look, shape);
}

/// Draws a level line through sprites. Nothing is known of their colours: the line is white, and black on either side.
pub(crate) fn strike_out_sprites(scene: &mut Scene, columns: Range<u32>) {
    let thickness = share(scene.height, THICKNESS).max(1);
    let top = (scene.height - thickness) / 2 + share(scene.height, SPRITES_BELOW_MIDDLE);
    let mut line = |beyond: u32, colour| {
        let (left, right) = (columns.start as f32, columns.end as f32);
        let (top, bottom) = ((top - beyond) as f32, (top + thickness + beyond) as f32);
        let shape = Shape::rectangle((left, top), (right, bottom), 0.0, Rounded::None);
        scene.elements.push(Element::Shape { shape, paint: Paint::Solid(colour) });
    };
    line(share(scene.height, CASING).max(1), Colour::BLACK);
    line(0, Colour::WHITE);
}

fn draw_line(scene: &mut Scene, look: &Look, shape: Shape) {
    let paint = Paint::Solid(line_colour(look.text_colour(), look.background()));
    scene.elements.push(Element::Shape { shape, paint });
}

/// Returns the columns of a line through a number in these columns: it reaches a little beyond them.
pub(crate) fn with_overhang(columns: Range<u32>, height: u32) -> Range<u32> {
    let overhang = share(height, OVERHANG);
    columns.start - overhang..columns.end + overhang
}

/// The text's colour as it is before it fades, if that stands out from the ground; `None` is a transparent one.
fn line_colour(text: Colour, ground: Option<Colour>) -> Colour {
    let line = text.grey();
    match ground.map(Colour::grey) {
        Some(ground) if line.0[0].abs_diff(ground.0[0]) < LEAST_DIFFERENCE => ground.black_or_white(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 51st step of each channel.
    fn colours() -> impl Iterator<Item = Colour> + Clone {
        let steps = || (0..=255).step_by(51);
        steps().flat_map(move |red| steps().flat_map(move |green| steps().map(move |blue| Colour([red, green, blue]))))
    }

    /// The contrast of two colours by WCAG 2, from 1 to 21.
    fn contrast(one: Colour, other: Colour) -> f32 {
        let luminance = |colour: Colour| {
            let [red, green, blue] = colour.0.map(|channel| {
                let value = f32::from(channel) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            });
            red * 0.2126 + green * 0.7152 + blue * 0.0722 + 0.05
        };
        let (one, other) = (luminance(one), luminance(other));
        one.max(other) / one.min(other)
    }

    #[test]
    fn marked_text_stays_readable() {
        let marked = |text: Colour, ground: Colour| {
            let Ink { colour, opacity } = Tone::Marked.ink(text);
            let ground = Tone::Marked.ground(ground);
            contrast(ground, ground.mix(colour, opacity))
        };
        let default = (Colour::WHITE, Colour([0x1f, 0x7a, 0x4d]));
        assert!(contrast(default.0, default.1) > 5.3 && marked(default.0, default.1) > 4.1);
        for (text, ground) in colours().flat_map(|text| colours().map(move |ground| (text, ground))) {
            let (before, after) = (contrast(text, ground), marked(text, ground));
            assert!(before < 4.5 || after >= 2.9, "{text} on {ground}: {before}, and marked {after}");
        }
    }

    #[test]
    fn the_line_stands_out_from_every_ground() {
        for (text, ground) in colours().flat_map(|text| colours().map(move |ground| (text, ground))) {
            let (line, grey) = (line_colour(text, Some(ground)).0[0], Tone::Marked.ground(ground).0[0]);
            assert!(line.abs_diff(grey) >= LEAST_DIFFERENCE, "{line} on {grey}: {text} on {ground}");
        }
        assert_eq!(line_colour(Colour::WHITE, None), Colour::WHITE);
    }
}
