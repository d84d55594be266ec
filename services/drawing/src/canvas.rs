//! [`Canvas`]: a picture of one's own, of rectangles and text.

use crate::{
    colour::Colour,
    encode::png::PngEncoder,
    rasterizer::Rasterizer,
    scene::{Element, Ink, Paint, Rounded, Scene, Shape},
    text::TextLayout,
};

/// A picture of rectangles and text, each drawn over those before it. [`Artist::canvas`](crate::Artist::canvas) makes one.
///
/// Lengths are pixels of the unscaled picture, from its top left corner. What lies outside of it is not drawn.
#[derive(Debug)]
pub struct Canvas<'a> {
    text: &'a TextLayout,
    rasterizer: &'a Rasterizer,
    encoder: &'a PngEncoder,
    scene: Scene,
}

impl<'a> Canvas<'a> {
    pub(crate) fn new(
        text: &'a TextLayout,
        rasterizer: &'a Rasterizer,
        encoder: &'a PngEncoder,
        width: u32,
        height: u32,
    ) -> Canvas<'a> {
        Canvas { text, rasterizer, encoder, scene: Scene { width, height, elements: Vec::new() } }
    }

    /// Adds a rectangle between two corners, which are (x, y). Its own corners have a radius of at most half its sides.
    pub fn rectangle(&mut self, min: (f32, f32), max: (f32, f32), radius: f32, colour: Colour) {
        let shape = Shape::rectangle(min, max, radius, Rounded::All);
        self.scene.elements.push(Element::Shape { shape, paint: Paint::Solid(colour) });
    }

    /// Adds a line of text with its middle at the column `x` and its baseline above the row `baseline`; `em` is the size of
    /// the font. Characters that no font has are left out.
    pub fn text(&mut self, text: &str, x: i32, baseline: i32, em: f32, colour: Colour) {
        let line = self.text.label(text, em);
        let x = x - (line.width / 2).cast_signed();
        self.scene.elements.push(Element::Text { line, x, baseline, ink: Ink { colour, opacity: 1.0 } });
    }

    /// Encodes the picture as PNG, with `scale` device pixels per pixel in each direction.
    pub fn png(&self, scale: u32) -> Vec<u8> {
        self.encoder.encode(&self.rasterizer.draw(self.text.fonts(), &self.scene, scale), None)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Artist, Colour};

    #[test]
    fn a_canvas_shows_its_elements_over_one_another() {
        let artist = Artist::new();
        let mut canvas = artist.canvas(40, 20);
        canvas.rectangle((2.0, 2.0), (38.0, 18.0), 0.0, Colour([1, 2, 3]));
        let ground = canvas.png(2);
        canvas.text("O", 20, 15, 14.0, Colour::WHITE);
        let lettered = image::load_from_memory(&canvas.png(2)).expect("a PNG").into_rgba8();
        let ground = image::load_from_memory(&ground).expect("a PNG").into_rgba8();
        assert_eq!(lettered.dimensions(), (80, 40));
        assert_eq!((ground.get_pixel(3, 3).0, ground.get_pixel(4, 4).0), ([0; 4], [1, 2, 3, 255]));
        let white =
            |row: u32| (0..80).filter(|&column| lettered.get_pixel(column, row).0 == [255; 4]).collect::<Vec<_>>();
        let middle = white(20);
        // Both sides of the letter, as far from the middle on the left as on the right.
        let (first, last) = (middle[0], middle[middle.len() - 1]);
        assert!(first < 38 && (39..=41).contains(&((first + last).div_ceil(2))), "{middle:?}");
        assert!(white(35).is_empty(), "below the baseline");
    }
}
