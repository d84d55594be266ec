//! The plain style: number and label, for use within a line of text.

use super::{
    layout::{baseline, digit_height, share},
    mark::{Tone, strike_out, with_overhang},
};
use crate::{
    figure::Figure,
    look::Look,
    scene::{Element, Paint, Rounded, Scene, Shape},
    text::{Fonts, TextLayout},
};

pub(crate) fn compose(text: &TextLayout, look: &Look, figure: &Figure) -> Scene {
    let height = look.height();
    let digits = digit_height(height, height as f32 * 0.5);
    let em = text.em_for_digits(Fonts::MAIN, digits);
    let baseline = baseline(height, digits);
    let padding = share(height, 0.2);

    let number = text.number(&look.text(figure), Fonts::MAIN, em);
    let label = text.label(look.label(), em);
    let gap = if look.label().is_empty() { 0 } else { (em * 0.35).round() as u32 };
    let number_end = padding + number.width;
    let label_x = number_end + gap;
    let width = label_x + label.width + padding;
    let tone = Tone::of(figure);
    let mut elements = Vec::new();
    if let Some(background) = look.background() {
        let shape = Shape::rectangle((0.0, 0.0), (width as f32, height as f32), 0.0, Rounded::None);
        elements.push(Element::Shape { shape, paint: Paint::Solid(tone.ground(background)) });
    }
    for (line, x) in [(number, padding), (label, label_x)] {
        elements.push(Element::Text { line, x: x as i32, baseline, ink: tone.ink(look.text_colour()) });
    }
    let mut scene = Scene { width, height, elements };
    if tone == Tone::Marked {
        let columns = with_overhang(padding..number_end, height);
        strike_out(&mut scene, look, columns, digits);
    }
    scene
}
