//! [`Artist`]: draws figures in any look.

use image::RgbaImage;

use crate::{
    encode::{jpeg, png::PngEncoder, svg},
    figure::Figure,
    format::Format,
    look::Look,
    query::LookError,
    rasterizer::Raster,
    stamp::Stamp,
    styles::compose,
    text::{FontError, Fonts},
};

/// Draws figures. One artist serves a whole process: it keeps the glyphs it has drawn.
#[derive(Debug)]
pub struct Artist {
    fonts: Fonts,
    raster: Raster,
    png: PngEncoder,
}

impl Default for Artist {
    fn default() -> Artist {
        Artist::new()
    }
}

impl Artist {
    /// An artist with the built-in fonts.
    pub fn new() -> Artist {
        Artist { fonts: Fonts::built_in(), raster: Raster::default(), png: PngEncoder::new() }
    }

    /// An artist with the font of a TrueType or OpenType file; the built-in ones draw what it lacks.
    ///
    /// # Errors
    /// If the bytes are no such font, or the font has no digits.
    pub fn with_font(file: Vec<u8>) -> Result<Artist, FontError> {
        Ok(Artist { fonts: Fonts::with(file)?, ..Artist::new() })
    }

    /// Whether a look can be drawn.
    ///
    /// # Errors
    /// If no font has one of the label's characters. [`draw`](Self::draw) would leave it out.
    pub fn check(&self, look: &Look) -> Result<(), LookError> {
        match self.fonts.lacking(look.label()) {
            Some(character) => Err(LookError::Character(character)),
            None => Ok(()),
        }
    }

    /// Draws and encodes a picture, with its stamp.
    pub fn draw(&self, look: &Look, figure: &Figure, format: Format) -> Vec<u8> {
        let count = look.count(figure);
        let stamp = Stamp { count, epoch: figure.epoch, version: figure.version, stale: figure.stale };
        match format {
            Format::Png => self.png.encode(&self.pixels(look, figure), &stamp),
            Format::Jpeg => jpeg::encode(&self.pixels(look, figure), &stamp),
            Format::Svg => {
                let scene = compose(&self.fonts, look, figure);
                svg::encode(&self.fonts, &scene, look.scale(), &look.alternative(figure), &stamp)
            }
        }
    }

    /// Draws a picture's pixels, exactly those that its PNG has.
    pub fn pixels(&self, look: &Look, figure: &Figure) -> RgbaImage {
        self.raster.draw(&self.fonts, &compose(&self.fonts, look, figure), look.scale())
    }
}
