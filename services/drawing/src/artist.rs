//! [`Artist`]: renders figures in any look.

use std::{sync::Arc, time::Duration};

use image::RgbaImage;

use crate::{
    canvas::Canvas,
    encode::{jpeg, png::PngEncoder, svg},
    estimate::estimate,
    figure::Figure,
    format::Format,
    look::{Look, Style},
    query::LookError,
    rasterizer::Rasterizer,
    sprites::{SetName, SpriteSet, SpriteSets},
    stamp::Stamp,
    styles::compose,
    text::{FontError, Fonts, TextLayout},
};

/// Renders figures. One instance serves a whole process, from any thread: it caches glyphs, laid-out labels and resized sprites.
#[derive(Debug)]
pub struct Artist {
    text: TextLayout,
    sprites: SpriteSets,
    rasterizer: Rasterizer,
    png: PngEncoder,
}

impl Default for Artist {
    fn default() -> Artist {
        Artist::new()
    }
}

impl Artist {
    /// A renderer with the built-in fonts and sprites.
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
        let sprites = SpriteSets::built_in();
        Artist { text: TextLayout::new(fonts), sprites, rasterizer: Rasterizer::default(), png: PngEncoder::new() }
    }

    /// The same renderer with these sets of sprites.
    #[must_use]
    pub fn with_sprites(self, sprites: SpriteSets) -> Artist {
        Artist { sprites, ..self }
    }

    /// The sets of sprites.
    pub fn sprites(&self) -> &SpriteSets {
        &self.sprites
    }

    /// The set of sprites of a look in that style, and its name. `None` in any other style.
    pub fn set_of(&self, look: &Look) -> Option<(SetName, Arc<SpriteSet>)> {
        (look.style() == Style::Sprites).then(|| self.sprites.get_or_built_in(&look.sprite_set()))
    }

    /// Checks that a look can be drawn completely.
    ///
    /// # Errors
    /// Fails if no font has one of the label's characters, or if there is no such set of sprites. [`draw`](Self::draw) leaves
    /// such characters out, and draws with the built-in set.
    pub fn check(&self, look: &Look) -> Result<(), LookError> {
        if look.style() == Style::Sprites && self.sprites.get(&look.sprite_set()).is_none() {
            return Err(LookError::Set { name: look.sprite_set(), known: self.sprites.listed() });
        }
        match self.text.fonts().first_missing(look.label()) {
            Some(character) => Err(LookError::Character(character)),
            None => Ok(()),
        }
    }

    /// Estimates the CPU time that [`draw`](Self::draw) takes, without drawing: from the size of the picture and the outlines
    /// of its glyphs. It is meant for a picture that is drawn for the first time, with no glyph in the cache. Sprites
    /// may be there.
    pub fn estimate(&self, look: &Look, figure: &Figure, format: Format) -> Duration {
        let set = self.set_of(look).filter(|(name, set)| match format {
            Format::Svg => !set.has_links(),
            Format::Png | Format::Jpeg => !self.rasterizer.has_sprites(name, look.height(), look.scale()),
        });
        estimate(self.text.fonts(), set.as_ref().map(|(_, set)| &**set), look, &look.text(figure), format)
    }

    /// Draws a picture and encodes it with its stamp.
    pub fn draw(&self, look: &Look, figure: &Figure, format: Format) -> Vec<u8> {
        let count = look.count(figure);
        let stamp = Stamp { count, epoch: figure.epoch, version: figure.version, stale: figure.stale };
        match format {
            Format::Png => self.png.encode(&self.pixels(look, figure), &stamp),
            Format::Jpeg => jpeg::encode(&self.pixels(look, figure), &stamp),
            Format::Svg => {
                let scene = compose(&self.text, &self.sprites, look, figure);
                svg::encode(self.text.fonts(), &scene, look.scale(), &look.alternative(figure), &stamp)
            }
        }
    }

    /// Draws a picture's pixels, exactly those of its PNG.
    pub fn pixels(&self, look: &Look, figure: &Figure) -> RgbaImage {
        let scene = compose(&self.text, &self.sprites, look, figure);
        self.rasterizer.draw(self.text.fonts(), &scene, look.scale())
    }

    /// An empty, transparent picture of one's own: width and height in pixels, before it is scaled.
    pub fn canvas(&self, width: u32, height: u32) -> Canvas<'_> {
        Canvas::new(&self.text, &self.rasterizer, &self.png, width, height)
    }
}
