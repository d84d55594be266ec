//! [`Line`]: a laid-out line of text, before any pixel is drawn.

use ab_glyph::GlyphId;

/// A glyph of one of the renderer's fonts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FontGlyph {
    /// The font's index in [`Fonts`](super::Fonts).
    pub(crate) font: usize,
    pub(crate) id: GlyphId,
    /// Whether its stems are moved onto the pixel grid. Joined letters are not hinted: they would come apart.
    pub(crate) hinted: bool,
}

/// A glyph and its position on a line. Lengths are pixels of the unscaled picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PositionedGlyph {
    pub(crate) glyph: FontGlyph,
    /// From the line's left end.
    pub(crate) x: f32,
    /// `x` without hinting, for scaled pictures, whose pixels are finer.
    pub(crate) exact_x: f32,
    /// Upwards from the baseline.
    pub(crate) y: f32,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Line {
    pub(crate) glyphs: Vec<PositionedGlyph>,
    /// Whole pixels of the unscaled picture.
    pub(crate) width: u32,
    /// The font size: pixels of the unscaled picture per em.
    pub(crate) em: f32,
}
