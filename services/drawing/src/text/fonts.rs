//! Setting text: which glyph of which font stands where, before any pixel is drawn.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ab_glyph::{FontArc, GlyphId};
use rustybuzz::{Direction, UnicodeBuffer};
use unicode_bidi::BidiInfo;

use super::typeface::{FontError, Typeface};

/// A glyph of one of an artist's fonts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FontGlyph {
    pub(crate) font: usize,
    pub(crate) id: GlyphId,
    /// Whether its strokes are moved onto the pixels. Joined letters are not: they would come apart.
    pub(crate) fitted: bool,
}

/// A glyph in its place on a line; lengths are in pixels of the unscaled picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) glyph: FontGlyph,
    /// From the line's left end.
    pub(crate) x: f32,
    /// Where type without fitting would have it: for scaled pictures, whose pixels are finer.
    pub(crate) exact_x: f32,
    /// Upwards from the baseline.
    pub(crate) y: f32,
}

/// A line of text of a certain em.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Line {
    pub(crate) glyphs: Vec<Placed>,
    /// Whole pixels of the unscaled picture.
    pub(crate) width: u32,
    /// Pixels of the unscaled picture for an em.
    pub(crate) em: f32,
}

/// Labels whose setting is kept, at most. Each look has one.
const KEPT_LABELS: usize = 1024;

/// The fonts of an artist, in the order in which they are asked for a character.
#[derive(Debug)]
pub(crate) struct Fonts {
    typefaces: Vec<Typeface>,
    /// Lines set before, by text and em: shaping takes longer than all the rest of a badge.
    kept: Mutex<HashMap<(String, u32), Line>>,
}

impl Fonts {
    /// The built-in fonts: DejaVu Sans, whose letters most badges are set in; Noto Emoji; and a bold DejaVu for drums.
    pub(crate) fn built_in() -> Fonts {
        let sound = "the built-in fonts are sound";
        let letters = FontArc::try_from_slice(dejavu::sans::regular()).expect(sound);
        let emoji = FontArc::try_from_slice(epaint_default_fonts::NOTO_EMOJI_REGULAR).expect(sound);
        let drums = FontArc::try_from_slice(dejavu::sans_condensed::bold()).expect(sound);
        let typefaces = vec![
            Typeface::new(letters).expect(sound),
            Typeface::unfitted(emoji).expect(sound),
            Typeface::new(drums).expect(sound),
        ];
        Fonts { typefaces, kept: Mutex::default() }
    }

    /// The built-in fonts behind one of a file.
    pub(crate) fn with(file: Vec<u8>) -> Result<Fonts, FontError> {
        let font = FontArc::try_from_vec(file).map_err(|_| FontError::Malformed)?;
        let mut fonts = Fonts::built_in();
        fonts.typefaces.insert(0, Typeface::new(font)?);
        Ok(fonts)
    }

    /// The place of the font that words and numbers are set in.
    pub(crate) const MAIN: usize = 0;

    /// The place of the font of an odometer's drums.
    pub(crate) fn drums(&self) -> usize {
        self.typefaces.len() - 1
    }

    pub(crate) fn typeface(&self, font: usize) -> &Typeface {
        &self.typefaces[font]
    }

    fn font_of(&self, character: char) -> Option<usize> {
        self.typefaces.iter().position(|typeface| typeface.glyph(character).is_some())
    }

    /// The first of some characters that no font has.
    pub(crate) fn lacking(&self, text: &str) -> Option<char> {
        text.chars().find(|&character| !is_invisible(character) && self.font_of(character).is_none())
    }

    /// Sets a number: every digit is given the same width, so that the line's depends on how many there are alone.
    pub(crate) fn number(&self, text: &str, font: usize, em: f32) -> Line {
        let typeface = self.typeface(font);
        let factor = typeface.factor(em);
        let advance = |character| typeface.glyph(character).map_or(0.0, |id| typeface.advance(id) * factor);
        let digit_width = ('0'..='9').map(advance).fold(0.0, f32::max).round();
        let mut line = Line { em, ..Line::default() };
        let mut x = 0.0;
        for character in text.chars() {
            // What a font lacks beside digits comes from another one.
            let has = self.typeface(font).glyph(character).is_some();
            let font = if has { font } else { self.font_of(character).unwrap_or(font) };
            let typeface = self.typeface(font);
            let Some(id) = typeface.glyph(character) else { continue };
            let natural = typeface.advance(id) * typeface.factor(em);
            let width = if character.is_ascii_digit() { digit_width } else { natural.round() };
            let offset = if character.is_ascii_digit() { ((width - natural) / 2.0).round() } else { 0.0 };
            let glyph = FontGlyph { font, id, fitted: true };
            let exact_x = x + (width - natural) / 2.0;
            line.glyphs.push(Placed { glyph, x: x + offset, exact_x, y: 0.0 });
            x += width;
        }
        line.width = x as u32;
        line
    }

    /// Sets words of any script: shaped, and ordered for the eye.
    pub(crate) fn words(&self, text: &str, em: f32) -> Line {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (text.to_owned(), em.to_bits());
        if let Some(line) = kept.get(&key) {
            return line.clone();
        }
        if kept.len() >= KEPT_LABELS {
            kept.clear();
        }
        let line = self.set_words(text, em);
        kept.insert(key, line.clone());
        line
    }

    fn set_words(&self, text: &str, em: f32) -> Line {
        let mut line = Line { em, ..Line::default() };
        let (mut x, mut exact_x) = (0.0, 0.0);
        let bidi = BidiInfo::new(text, None);
        for paragraph in &bidi.paragraphs {
            let (levels, runs) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for run in runs {
                let backwards = levels[run.start].is_rtl();
                let mut pieces = self.by_font(&text[run]);
                if backwards {
                    pieces.reverse();
                }
                for (font, piece) in pieces {
                    self.shape(font, piece, backwards, &mut line, (&mut x, &mut exact_x));
                }
                x = x.round();
            }
        }
        line.width = f32::max(x, 0.0).round() as u32;
        let stretch = if exact_x > 0.0 { x / exact_x } else { 1.0 };
        for placed in &mut line.glyphs {
            placed.exact_x *= stretch;
        }
        line
    }

    fn by_font<'t>(&self, text: &'t str) -> Vec<(usize, &'t str)> {
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        for (start, character) in text.char_indices() {
            let last = pieces.last().map(|(font, _)| *font);
            // A mark or joiner belongs to the letter before it, whichever font that came from.
            let font = last.filter(|_| is_attached(character)).or(self.font_of(character)).unwrap_or(0);
            if last != Some(font) {
                pieces.push((font, start));
            }
        }
        let starts = pieces.iter().map(|(_, start)| *start);
        let ends = starts.skip(1).chain([text.len()]);
        pieces.iter().zip(ends).map(|((font, start), end)| (*font, &text[*start..end])).collect()
    }

    fn shape(&self, font: usize, text: &str, backwards: bool, line: &mut Line, pen: (&mut f32, &mut f32)) {
        let typeface = self.typeface(font);
        let Some(face) = rustybuzz::Face::from_slice(typeface.file(), 0) else { return };
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        buffer.set_direction(if backwards { Direction::RightToLeft } else { Direction::LeftToRight });
        let shaped = rustybuzz::shape(&face, &[], buffer);
        let factor = typeface.factor(line.em);
        let (x, exact_x) = pen;
        for (info, position) in shaped.glyph_infos().iter().zip(shaped.glyph_positions()) {
            let glyph = FontGlyph { font, id: GlyphId(info.glyph_id as u16), fitted: !backwards };
            let (dx, dy) = (position.x_offset as f32 * factor, position.y_offset as f32 * factor);
            let advance = position.x_advance as f32 * factor;
            let place = if backwards { *exact_x + dx } else { *x + dx.round() };
            line.glyphs.push(Placed { glyph, x: place, exact_x: *exact_x + dx, y: dy });
            *exact_x += advance;
            *x += if backwards { advance } else { advance.round() };
        }
    }
}

/// Characters that only steer how others are drawn: joiners and variation selectors.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

fn is_attached(character: char) -> bool {
    is_invisible(character) || matches!(character, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const EM: f32 = 11.0;

    fn glyphs(fonts: &Fonts, text: &str) -> Vec<Option<GlyphId>> {
        text.chars().map(|character| fonts.typeface(Fonts::MAIN).glyph(character)).collect()
    }

    fn set(fonts: &Fonts, text: &str) -> Vec<Option<GlyphId>> {
        fonts.words(text, EM).glyphs.iter().map(|placed| Some(placed.glyph.id)).collect()
    }

    #[test]
    fn runs_from_right_to_left_are_turned_for_the_eye() {
        let fonts = Fonts::built_in();
        assert_eq!(set(&fonts, "אבג"), glyphs(&fonts, "גבא"));
        assert_eq!(set(&fonts, "ab אבג"), glyphs(&fonts, "ab גבא"));
        assert_eq!(set(&fonts, "אבג 12"), glyphs(&fonts, "12 גבא"));
    }

    #[test]
    fn joined_letters_take_their_joined_forms() {
        let fonts = Fonts::built_in();
        let (alone, joined) = (set(&fonts, "س"), set(&fonts, "سس"));
        assert!(joined.iter().all(|glyph| *glyph != alone[0]), "{joined:?}");
    }

    #[test]
    fn letters_of_several_fonts_stand_side_by_side() {
        let fonts = Fonts::built_in();
        let line = fonts.words("a👀b", EM);
        let used: Vec<usize> = line.glyphs.iter().map(|placed| placed.glyph.font).collect();
        assert_eq!(used, [0, 1, 0]);
        let places: Vec<f32> = line.glyphs.iter().map(|placed| placed.x).collect();
        assert!(places.is_sorted() && places[2] < line.width as f32, "{places:?} of {}", line.width);
    }

    #[test]
    fn digits_are_all_as_wide() {
        let fonts = Fonts::built_in();
        for em in [8.2, 11.0, 13.7, 33.0] {
            let width = fonts.number("0", Fonts::MAIN, em).width;
            assert!(('1'..='9').all(|digit| fonts.number(&digit.to_string(), Fonts::MAIN, em).width == width));
            assert_eq!(fonts.number("1234567890", Fonts::MAIN, em).width, 10 * width);
        }
    }

    #[test]
    fn exact_places_span_the_same_width() {
        let fonts = Fonts::built_in();
        let line = fonts.words("illimitable", EM);
        let last = line.glyphs[line.glyphs.len() - 1];
        assert!((last.exact_x - last.x).abs() < 2.0, "{last:?}");
    }
}
