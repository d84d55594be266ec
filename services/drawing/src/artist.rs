//! [`Artist`]: renders figures in any look.

use std::time::Duration;

use image::RgbaImage;

use crate::{
    encode::{jpeg, png::PngEncoder, svg},
    estimate::estimate,
    figure::Figure,
    format::Format,
    look::Look,
    query::LookError,
    rasterizer::Rasterizer,
    stamp::Stamp,
    styles::compose,
    text::{FontError, Fonts, TextLayout},
};

/// Renders figures. One instance serves a whole process, from any thread: it caches glyphs and laid-out labels.
#[derive(Debug)]
pub struct Artist {
    text: TextLayout,
    rasterizer: Rasterizer,
    png: PngEncoder,
}

impl Default for Artist {
    fn default() -> Artist {
        Artist::new()
    }
}

impl Artist {
    /// A renderer with the built-in fonts.
    pub fn new() -> Artist {
        Artist::with_fonts(Fonts::built_in())
    }

    /// A renderer with the font of a TrueType or OpenType file. The built-in fonts draw the characters that it lacks.
    ///
    /// # Errors
    /// Fails if the bytes are not such a font, or if the font has no digits.
    pub fn with_font(file: Vec<u8>) -> Result<Artist, FontError> {
        Ok(Artist::with_fonts(Fonts::with(file)?))
    }

    fn with_fonts(fonts: Fonts) -> Artist {
        Artist { text: TextLayout::new(fonts), rasterizer: Rasterizer::default(), png: PngEncoder::new() }
    }

    /// Checks that a look can be drawn completely.
    ///
    /// # Errors
    /// Fails if no font has one of the label's characters. [`draw`](Self::draw) leaves such characters out.
    pub fn check(&self, look: &Look) -> Result<(), LookError> {
        match self.text.fonts().first_missing(look.label()) {
            Some(character) => Err(LookError::Character(character)),
            None => Ok(()),
        }
    }

    /// Estimates the CPU time that [`draw`](Self::draw) takes, without drawing: from the size of the picture and the outlines
    /// of its glyphs. It is meant for a picture that is drawn for the first time, with no glyph in the cache.
    pub fn estimate(&self, look: &Look, figure: &Figure, format: Format) -> Duration {
        estimate(self.text.fonts(), look, &look.text(figure), format)
    }

    /// Draws a picture and encodes it with its stamp.
    pub fn draw(&self, look: &Look, figure: &Figure, format: Format) -> Vec<u8> {
        let count = look.count(figure);
        let stamp = Stamp { count, epoch: figure.epoch, version: figure.version, stale: figure.stale };
        match format {
            Format::Png => self.png.encode(&self.pixels(look, figure), &stamp),
            Format::Jpeg => jpeg::encode(&self.pixels(look, figure), &stamp),
            Format::Svg => {
                let scene = compose(&self.text, look, figure);
                svg::encode(self.text.fonts(), &scene, look.scale(), &look.alternative(figure), &stamp)
            }
        }
    }

    /// Draws a picture's pixels, exactly those of its PNG.
    pub fn pixels(&self, look: &Look, figure: &Figure) -> RgbaImage {
        self.rasterizer.draw(self.text.fonts(), &compose(&self.text, look, figure), look.scale())
    }
}
