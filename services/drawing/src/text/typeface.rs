//! [`Typeface`]: one font file, and what has to be measured in it before its glyphs can be fitted to pixels.

use ab_glyph::{Font, FontArc, GlyphId, Outline};

use super::hinting::{self, Axis, Guides};

/// Letters whose upright strokes stand for all of a font's.
const UPRIGHTS: &str = "nhlo";
/// Letters whose level strokes stand for all of a font's.
const LEVELS: &str = "eozH";

/// Why a font cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FontError {
    /// The file is no TrueType or OpenType font.
    #[error("this is not a TrueType or OpenType font")]
    Malformed,
    /// The font cannot draw what every picture needs.
    #[error("the font lacks the digit {0}")]
    Digit(char),
}

/// A parsed font with its measures, all in font units.
#[derive(Debug)]
pub(crate) struct Typeface {
    font: FontArc,
    /// Height of the figures, from the baseline.
    figure_height: f32,
    guides: Guides,
}

impl Typeface {
    pub(crate) fn new(font: FontArc) -> Result<Typeface, FontError> {
        let outline = |character| font.outline(font.glyph_id(character));
        if let Some(digit) = ('0'..='9').find(|&digit| outline(digit).is_none()) {
            return Err(FontError::Digit(digit));
        }
        let top = |character| outline(character).map(|outline| outline.bounds.max.y.max(outline.bounds.min.y));
        let bottom = |character| outline(character).map(|outline| outline.bounds.min.y.min(outline.bounds.max.y));
        let figure_height = top('1').filter(|&height| height > 0.0).ok_or(FontError::Malformed)?;
        let zones = [top('x'), top('H'), top('l'), Some(figure_height), bottom('p')];
        let em = font.units_per_em().filter(|&em| em > 0.0).ok_or(FontError::Malformed)?;
        let stroke = |letters: &str, axis| {
            let widths = letters.chars().filter_map(outline).flat_map(|outline| hinting::strokes(&outline, axis, em));
            median(widths.collect())
        };
        let guides = Guides {
            em,
            zones: std::iter::once(0.0).chain(zones.into_iter().flatten()).collect(),
            upright: stroke(UPRIGHTS, Axis::Across),
            level: stroke(LEVELS, Axis::Up),
        };
        Ok(Typeface { font, figure_height, guides })
    }

    /// A font that only fills another one's gaps and is drawn as it is, such as one of emoji.
    pub(crate) fn unfitted(font: FontArc) -> Result<Typeface, FontError> {
        let em = font.units_per_em().filter(|&em| em > 0.0).ok_or(FontError::Malformed)?;
        let guides = Guides { em, zones: Vec::new(), upright: None, level: None };
        Ok(Typeface { font, figure_height: em, guides })
    }

    /// The em that makes figures so many pixels high.
    pub(crate) fn em_for_figures(&self, height: f32) -> f32 {
        height * self.guides.em / self.figure_height
    }

    /// Pixels for each font unit at an em of so many pixels.
    pub(crate) fn factor(&self, em: f32) -> f32 {
        em / self.guides.em
    }

    pub(crate) fn glyph(&self, character: char) -> Option<GlyphId> {
        Some(self.font.glyph_id(character)).filter(|id| id.0 != 0)
    }

    /// A glyph's advance in font units.
    pub(crate) fn advance(&self, glyph: GlyphId) -> f32 {
        self.font.h_advance_unscaled(glyph)
    }

    /// A glyph's outline at an em of so many pixels, as it is.
    pub(crate) fn scaled(&self, glyph: GlyphId, em: f32) -> Option<Outline> {
        Some(hinting::scale(self.font.outline(glyph)?, self.factor(em)))
    }

    /// A glyph's outline at an em of so many pixels, its strokes moved onto the pixels.
    pub(crate) fn fitted(&self, glyph: GlyphId, em: f32) -> Option<Outline> {
        Some(hinting::fit(self.font.outline(glyph)?, self.factor(em), &self.guides))
    }

    /// The file's bytes, for the shaper.
    pub(crate) fn file(&self) -> &[u8] {
        self.font.font_data()
    }
}

fn median(mut values: Vec<f32>) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}
