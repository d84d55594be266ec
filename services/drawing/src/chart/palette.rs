//! [`Palette`]: a chart's colours, from those of its look.

use crate::{
    colour::Colour,
    look::{Look, Style},
};

/// The contrast that text keeps, a little more than the 4.5 that WCAG asks for.
const CONTRAST: f32 = 4.7;
/// Dark text.
const DARK_TEXT: Colour = Colour([0x1d, 0x23, 0x29]);
/// How much paler than the number other text is, at most.
const SOFTER: f32 = 0.42;
/// How much of the curve's colour is in the areas below it: up to the lowest, and from there to the highest.
const LOW_AREA: f32 = 0.34;
const HIGH_AREA: f32 = 0.17;
/// How much of the text's colour is in lines across the picture, and in what says that nothing is known.
const GRID: f32 = 0.13;
const GAP: f32 = 0.2;
/// Steps in which a share is reduced until text is readable.
const STEPS: u8 = 20;

/// Background of a chart in dark surroundings.
const DARK_GROUND: Colour = Colour([0x1b, 0x20, 0x26]);

impl Look {
    /// Which colours a chart has in dark surroundings instead of its own, for documents, which fit either. None where the look
    /// sets the background.
    pub fn colours_in_dark(&self) -> Vec<(Colour, Colour)> {
        if self.background.is_some() || !self.style().shows_past() {
            return Vec::new();
        }
        let dark = Look { background: Some(DARK_GROUND), ..self.clone() };
        let of = |look: &Look, colour: fn(Colour) -> Colour| {
            let palette = Palette::of(look, colour);
            let Palette { ground, ink, soft, grid, gap, curve, low, high } = match look.style() {
                Style::Spark => palette.behind_text(),
                _ => palette,
            };
            [ground, ink, soft, grid, gap, curve, low, high]
        };
        // Of equal colours the last decides: those of live numbers.
        let tones: [fn(Colour) -> Colour; 2] = [Colour::grey, |colour| colour];
        tones.into_iter().flat_map(|tone| of(self, tone).into_iter().zip(of(&dark, tone))).collect()
    }
}

/// A chart's colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    pub(crate) ground: Colour,
    /// The number.
    pub(crate) ink: Colour,
    /// All other text.
    pub(crate) soft: Colour,
    /// Lines behind the curve.
    pub(crate) grid: Colour,
    /// What says that nothing is known.
    pub(crate) gap: Colour,
    pub(crate) curve: Colour,
    /// Below the curve, up to the lowest.
    pub(crate) low: Colour,
    /// From the lowest to the highest.
    pub(crate) high: Colour,
}

impl Palette {
    /// The colours of a look, where text stands on the ground alone. `colour` changes each colour of the look.
    pub(crate) fn of(look: &Look, colour: impl Fn(Colour) -> Colour) -> Palette {
        let ground = colour(look.background().unwrap_or(Colour::WHITE));
        let curve = colour(look.text_colour());
        let ink = colour(ink(ground));
        Palette {
            ground,
            ink,
            soft: most(SOFTER, |share| ink.mix(ground, share), |soft| soft.contrast(ground) >= CONTRAST),
            grid: ground.mix(ink, GRID),
            gap: ground.mix(ink, GAP),
            curve,
            low: ground.mix(curve, LOW_AREA),
            high: ground.mix(curve, HIGH_AREA),
        }
    }

    /// The same for text that stands on the areas: all of it is as dark as the number, and the areas are as pale as it needs.
    #[must_use]
    pub(crate) fn behind_text(self) -> Palette {
        let Palette { ground, curve, ink, .. } = self;
        let area = |share| most(share, |share| ground.mix(curve, share), |area| ink.contrast(area) >= CONTRAST);
        Palette { soft: ink, low: area(LOW_AREA), high: area(HIGH_AREA), ..self }
    }
}

/// The text colour with the better contrast.
fn ink(ground: Colour) -> Colour {
    let better = |one: Colour, other: Colour| if ground.contrast(one) >= ground.contrast(other) { one } else { other };
    let ink = better(DARK_TEXT, Colour::WHITE);
    if ground.contrast(ink) >= CONTRAST { ink } else { better(Colour::BLACK, Colour::WHITE) }
}

/// The colour of the greatest share up to `most` that is `good`, or of none.
fn most(most: f32, colour: impl Fn(f32) -> Colour, good: impl Fn(Colour) -> bool) -> Colour {
    let mut shares = (0..=STEPS).rev().map(|step| colour(most * f32::from(step) / f32::from(STEPS)));
    shares.find(|colour| good(*colour)).unwrap_or_else(|| colour(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast by WCAG 2, by its own formula.
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
    fn text_is_readable_on_every_ground() {
        let steps = || (0..=255).step_by(51);
        let grounds =
            steps().flat_map(|red| steps().flat_map(move |green| steps().map(move |blue| [red, green, blue])));
        for [red, green, blue] in grounds {
            let ground = format!("{red:02x}{green:02x}{blue:02x}");
            for curve in ["", "&fg=ffd700", "&fg=000", "&fg=fff", "&fg=f00"] {
                for style in ["chart", "spark"] {
                    let look = Look::from_query(&format!("style={style}&bg={ground}{curve}")).unwrap();
                    let palette = Palette::of(&look, |colour| colour);
                    assert!(contrast(palette.ink, palette.ground) >= 4.5, "{ground}: {palette:?}");
                    assert!(contrast(palette.soft, palette.ground) >= 4.5, "{ground}: {palette:?}");
                    let palette = palette.behind_text();
                    for area in [palette.low, palette.high, palette.ground] {
                        assert!(contrast(palette.soft, area) >= 4.5, "{ground}{curve}: {palette:?}");
                        assert!(contrast(palette.ink, area) >= 4.5, "{ground}{curve}: {palette:?}");
                    }
                }
            }
        }
    }
}
