//! [`TextLayout`]: lays out numbers and labels, and caches the labels.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{
    fonts::Fonts,
    label,
    line::{FontGlyph, Line, PositionedGlyph},
};

/// Labels in the cache, at most. Each look has one.
const CACHED_LABELS: usize = 1024;

/// Lays out text in a renderer's fonts.
#[derive(Debug)]
pub(crate) struct TextLayout {
    fonts: Fonts,
    /// Labels by text and em: shaping takes longer than all the rest of a badge.
    labels: Mutex<HashMap<(String, u32), Line>>,
}

impl TextLayout {
    pub(crate) fn new(fonts: Fonts) -> TextLayout {
        TextLayout { fonts, labels: Mutex::default() }
    }

    pub(crate) fn fonts(&self) -> &Fonts {
        &self.fonts
    }

    /// Returns the em, in pixels, at which a font's digits have a height, in pixels.
    pub(crate) fn em_for_digits(&self, font: usize, height: u32) -> f32 {
        self.fonts.typeface(font).em_for_digits(height as f32)
    }

    /// Lays out a number. Every digit gets the same width, so that the line's width depends only on how many there
    /// are.
    pub(crate) fn number(&self, text: &str, font: usize, em: f32) -> Line {
        let typeface = self.fonts.typeface(font);
        let factor = typeface.factor(em);
        let advance = |character| typeface.glyph(character).map_or(0.0, |id| typeface.advance(id) * factor);
        let digit_width = ('0'..='9').map(advance).fold(0.0, f32::max).round();
        let mut line = Line { em, ..Line::default() };
        let mut x = 0.0;
        for character in text.chars() {
            // Every font has digits; other characters may come from the next font that has them.
            let has = typeface.glyph(character).is_some();
            let font = if has { font } else { self.fonts.font_of(character).unwrap_or(font) };
            let typeface = self.fonts.typeface(font);
            let Some(id) = typeface.glyph(character) else { continue };
            let natural = typeface.advance(id) * typeface.factor(em);
            let width = if character.is_ascii_digit() { digit_width } else { natural.round() };
            let offset = if character.is_ascii_digit() { ((width - natural) / 2.0).round() } else { 0.0 };
            let glyph = FontGlyph { font, id, hinted: true };
            let exact_x = x + (width - natural) / 2.0;
            line.glyphs.push(PositionedGlyph { glyph, x: x + offset, exact_x, y: 0.0 });
            x += width;
        }
        line.width = x as u32;
        line
    }

    /// Lays out a label of any script.
    pub(crate) fn label(&self, text: &str, em: f32) -> Line {
        let key = (text.to_owned(), em.to_bits());
        if let Some(line) = self.labels.lock().get(&key) {
            return line.clone();
        }
        // Not under the lock, which other pictures wait for.
        let line = label::lay_out(&self.fonts, text, em);
        let mut labels = self.labels.lock();
        if labels.len() >= CACHED_LABELS {
            labels.clear();
        }
        labels.insert(key, line.clone());
        line
    }
}

#[cfg(test)]
mod tests {
    use ab_glyph::GlyphId;

    use super::*;

    const EM: f32 = 11.0;

    fn glyphs(layout: &TextLayout, text: &str) -> Vec<Option<GlyphId>> {
        text.chars().map(|character| layout.fonts().typeface(Fonts::MAIN).glyph(character)).collect()
    }

    fn laid_out(layout: &TextLayout, text: &str) -> Vec<Option<GlyphId>> {
        layout.label(text, EM).glyphs.iter().map(|positioned| Some(positioned.glyph.id)).collect()
    }

    #[test]
    fn right_to_left_runs_are_in_visual_order() {
        let layout = TextLayout::new(Fonts::built_in());
        assert_eq!(laid_out(&layout, "אבג"), glyphs(&layout, "גבא"));
        assert_eq!(laid_out(&layout, "ab אבג"), glyphs(&layout, "ab גבא"));
        assert_eq!(laid_out(&layout, "אבג 12"), glyphs(&layout, "12 גבא"));
    }

    #[test]
    fn joined_letters_have_their_joined_forms() {
        let layout = TextLayout::new(Fonts::built_in());
        let (alone, joined) = (laid_out(&layout, "س"), laid_out(&layout, "سس"));
        assert!(joined.iter().all(|glyph| *glyph != alone[0]), "{joined:?}");
    }

    #[test]
    fn one_line_can_use_several_fonts() {
        let layout = TextLayout::new(Fonts::built_in());
        let line = layout.label("a👀b", EM);
        let used: Vec<usize> = line.glyphs.iter().map(|positioned| positioned.glyph.font).collect();
        assert_eq!(used, [0, 1, 0]);
        let positions: Vec<f32> = line.glyphs.iter().map(|positioned| positioned.x).collect();
        assert!(positions.is_sorted() && positions[2] < line.width as f32, "{positions:?} of {}", line.width);
    }

    #[test]
    fn all_digits_have_the_same_width() {
        let layout = TextLayout::new(Fonts::built_in());
        for em in [8.2, 11.0, 13.7, 33.0] {
            let width = layout.number("0", Fonts::MAIN, em).width;
            assert!(('1'..='9').all(|digit| layout.number(&digit.to_string(), Fonts::MAIN, em).width == width));
            assert_eq!(layout.number("1234567890", Fonts::MAIN, em).width, 10 * width);
        }
    }

    #[test]
    fn exact_positions_span_the_same_width() {
        let layout = TextLayout::new(Fonts::built_in());
        let line = layout.label("illimitable", EM);
        let last = line.glyphs[line.glyphs.len() - 1];
        assert!((last.exact_x - last.x).abs() < 2.0, "{last:?}");
    }
}
