//! [`Fonts`]: the renderer's fonts, and which of them has a character.

use ab_glyph::FontArc;

use super::typeface::{FontError, Typeface};

/// The fonts of a renderer, in the order in which they are searched for a character.
#[derive(Debug)]
pub(crate) struct Fonts {
    typefaces: Vec<Typeface>,
}

impl Fonts {
    /// Index of the font for labels and numbers.
    pub(crate) const MAIN: usize = 0;

    /// The built-in fonts: DejaVu Sans for most text, Noto Emoji, and a bold condensed DejaVu Sans for the odometer.
    pub(crate) fn built_in() -> Fonts {
        let valid = "the built-in fonts are valid";
        let sans = FontArc::try_from_slice(dejavu::sans::regular()).expect(valid);
        let emoji = FontArc::try_from_slice(epaint_default_fonts::NOTO_EMOJI_REGULAR).expect(valid);
        let odometer = FontArc::try_from_slice(dejavu::sans_condensed::bold()).expect(valid);
        let typefaces = vec![
            Typeface::new(sans).expect(valid),
            Typeface::unhinted(emoji).expect(valid),
            Typeface::new(odometer).expect(valid),
        ];
        Fonts { typefaces }
    }

    /// The font of a file, followed by the built-in ones.
    pub(crate) fn with(file: Vec<u8>) -> Result<Fonts, FontError> {
        let font = FontArc::try_from_vec(file).map_err(|_| FontError::Malformed)?;
        let mut fonts = Fonts::built_in();
        fonts.typefaces.insert(Fonts::MAIN, Typeface::new(font)?);
        Ok(fonts)
    }

    /// Index of the font for an odometer's digits.
    pub(crate) fn odometer(&self) -> usize {
        self.typefaces.len() - 1
    }

    pub(crate) fn typeface(&self, font: usize) -> &Typeface {
        &self.typefaces[font]
    }

    /// Returns the index of the first font that has `character`.
    pub(crate) fn font_of(&self, character: char) -> Option<usize> {
        self.typefaces.iter().position(|typeface| typeface.glyph(character).is_some())
    }

    /// Returns the first character of `text` that no font has.
    pub(crate) fn first_missing(&self, text: &str) -> Option<char> {
        text.chars().find(|&character| !is_invisible(character) && self.font_of(character).is_none())
    }
}

/// Whether a character only controls how others are drawn: joiners and variation selectors.
pub(crate) fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}
