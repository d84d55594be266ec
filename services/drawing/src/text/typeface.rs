//! [`Typeface`]: one font file, and the measurements that hinting needs.

use ab_glyph::{Font, FontArc, GlyphId, Outline};

use super::{
    hinting::{HintingMetrics, hint},
    outline,
    stems::{Axis, stem_widths},
};

/// Letters that the usual width of vertical stems is measured in.
const VERTICAL_STEMS: &str = "nhlo";
/// Letters that the usual width of horizontal stems is measured in.
const HORIZONTAL_STEMS: &str = "eozH";

/// Why a font cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FontError {
    /// The file is not a TrueType or OpenType font.
    #[error("this is not a TrueType or OpenType font")]
    Malformed,
    /// The font has no glyph for a digit, which every picture needs.
    #[error("the font lacks the digit {0}")]
    Digit(char),
}

/// A parsed font with its measurements, all in font units.
#[derive(Debug)]
pub(crate) struct Typeface {
    font: FontArc,
    /// Height of the digits, from the baseline.
    digit_height: f32,
    metrics: HintingMetrics,
}

impl Typeface {
    /// Measures a font.
    ///
    /// # Errors
    /// Fails if the font has no digits or no usable size.
    pub(crate) fn new(font: FontArc) -> Result<Typeface, FontError> {
        let outline = |character| font.outline(font.glyph_id(character));
        if let Some(digit) = ('0'..='9').find(|&digit| outline(digit).is_none()) {
            return Err(FontError::Digit(digit));
        }
        let top = |character| outline(character).map(|outline| outline.bounds.max.y.max(outline.bounds.min.y));
        let bottom = |character| outline(character).map(|outline| outline.bounds.min.y.min(outline.bounds.max.y));
        let digit_height = top('1').filter(|&height| height > 0.0).ok_or(FontError::Malformed)?;
        let zones = [top('x'), top('H'), top('l'), Some(digit_height), bottom('p')];
        let em = font.units_per_em().filter(|&em| em > 0.0).ok_or(FontError::Malformed)?;
        let usual_width = |letters: &str, axis| {
            let widths = letters.chars().filter_map(outline).flat_map(|outline| stem_widths(&outline, axis, em));
            median(widths.collect())
        };
        let metrics = HintingMetrics {
            em,
            zones: std::iter::once(0.0).chain(zones.into_iter().flatten()).collect(),
            vertical_stem: usual_width(VERTICAL_STEMS, Axis::Horizontal),
            horizontal_stem: usual_width(HORIZONTAL_STEMS, Axis::Vertical),
        };
        Ok(Typeface { font, digit_height, metrics })
    }

    /// A font that is only a fallback for others and is never hinted, such as one of emoji. It needs no digits.
    pub(crate) fn unhinted(font: FontArc) -> Result<Typeface, FontError> {
        let em = font.units_per_em().filter(|&em| em > 0.0).ok_or(FontError::Malformed)?;
        let metrics = HintingMetrics { em, zones: Vec::new(), vertical_stem: None, horizontal_stem: None };
        Ok(Typeface { font, digit_height: em, metrics })
    }

    /// Returns the em, in pixels, at which digits are `height` pixels high.
    pub(crate) fn em_for_digits(&self, height: f32) -> f32 {
        height * self.metrics.em / self.digit_height
    }

    /// Returns the pixels per font unit at `em` pixels per em.
    pub(crate) fn factor(&self, em: f32) -> f32 {
        em / self.metrics.em
    }

    /// Returns a character's glyph, or `None` if the font has none.
    pub(crate) fn glyph(&self, character: char) -> Option<GlyphId> {
        Some(self.font.glyph_id(character)).filter(|id| id.0 != 0)
    }

    /// Returns a glyph's advance in font units.
    pub(crate) fn advance(&self, glyph: GlyphId) -> f32 {
        self.font.h_advance_unscaled(glyph)
    }

    /// Returns the number of curves in a glyph's outline.
    pub(crate) fn curves(&self, glyph: GlyphId) -> usize {
        self.font.outline(glyph).map_or(0, |outline| outline.curves.len())
    }

    /// Returns a glyph's outline at `em` pixels per em, without hinting.
    pub(crate) fn scaled(&self, glyph: GlyphId, em: f32) -> Option<Outline> {
        Some(outline::scale(self.font.outline(glyph)?, self.factor(em)))
    }

    /// Returns a glyph's outline at `em` pixels per em, hinted.
    pub(crate) fn hinted(&self, glyph: GlyphId, em: f32) -> Option<Outline> {
        Some(hint(self.font.outline(glyph)?, self.factor(em), &self.metrics))
    }

    /// Returns the file's bytes, for the shaper.
    pub(crate) fn file(&self) -> &[u8] {
        self.font.font_data()
    }
}

fn median(mut values: Vec<f32>) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}
