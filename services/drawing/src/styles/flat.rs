//! The flat badge: the label on a dark background, the number on a coloured one.

use super::layout::{baseline, digit_height, mark_stale, share};
use crate::{
    colour::Colour,
    figure::Figure,
    look::Look,
    scene::{Element, Paint, Rounded, Scene, Shape},
    text::{Fonts, Line, TextLayout},
};

const LABEL_BACKGROUND: Colour = Colour([0x4a, 0x4f, 0x57]);

pub(crate) fn compose(text: &TextLayout, look: &Look, figure: &Figure) -> Scene {
    let height = look.height();
    let digits = digit_height(height, height as f32 * 0.4);
    let em = text.em_for_digits(Fonts::MAIN, digits);
    let baseline = baseline(height, digits);
    let (outer, inner) = (share(height, 0.3), share(height, 0.25));
    let radius = height as f32 * 0.15;

    let background = look.background().expect("the flat style has a default background");
    let number = text.number(&look.text(figure), Fonts::MAIN, em);
    let mut scene = Scene { width: 0, height, elements: Vec::new() };
    let mut part = |line: Line, left, right, background, colour, rounded| {
        let x = scene.width;
        scene.width += left + line.width + right;
        let (min, max) = ((x as f32, 0.0), (scene.width as f32, height as f32));
        let shape = Shape::rectangle(min, max, radius, rounded);
        scene.elements.push(Element::Shape { shape, paint: Paint::Solid(background) });
        scene.elements.push(Element::Text { line, x: (x + left) as i32, baseline, colour });
    };
    if look.label().is_empty() {
        part(number, outer, outer, background, look.text_colour(), Rounded::All);
    } else {
        let label_colour = look.foreground().unwrap_or(Colour::WHITE);
        part(text.label(look.label(), em), outer, inner, LABEL_BACKGROUND, label_colour, Rounded::Left);
        part(number, inner, outer, background, look.text_colour(), Rounded::Right);
    }
    if figure.stale {
        mark_stale(&mut scene, radius);
    }
    scene
}
