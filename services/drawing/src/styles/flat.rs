//! The flat badge: the label on a dark background, the number on a coloured one.

use super::{
    layout::{baseline, digit_height, share},
    mark::{Tone, strike_out, with_overhang},
};
use crate::{
    figure::Figure,
    look::Look,
    scene::{Element, Paint, Rounded, Scene, Shape},
    text::{Fonts, Line, TextLayout},
};

pub(crate) fn compose(text: &TextLayout, look: &Look, figure: &Figure) -> Scene {
    let height = look.height();
    let digits = digit_height(height, height as f32 * 0.4);
    let em = text.em_for_digits(Fonts::MAIN, digits);
    let baseline = baseline(height, digits);
    let (outer, inner) = (share(height, 0.3), share(height, 0.25));
    let radius = height as f32 * 0.15;

    let tone = Tone::of(figure);
    let background = tone.ground(look.background().expect("the flat style has a default background"));
    let ink = tone.ink(look.text_colour());
    let number = text.number(&look.text(figure), Fonts::MAIN, em);
    let number_width = number.width;
    let mut scene = Scene { width: 0, height, elements: Vec::new() };
    let mut part = |line: Line, left, right, background, ink, rounded| {
        let x = scene.width;
        scene.width += left + line.width + right;
        let (min, max) = ((x as f32, 0.0), (scene.width as f32, height as f32));
        let shape = Shape::rectangle(min, max, radius, rounded);
        scene.elements.push(Element::Shape { shape, paint: Paint::Solid(background) });
        scene.elements.push(Element::Text { line, x: (x + left) as i32, baseline, ink });
    };
    if look.label().is_empty() {
        part(number, outer, outer, background, ink, Rounded::All);
    } else {
        let label_ink = tone.ink(look.label_colour());
        part(text.label(look.label(), em), outer, inner, look.label_background(), label_ink, Rounded::Left);
        part(number, inner, outer, background, ink, Rounded::Right);
    }
    if tone == Tone::Marked {
        let end = scene.width - outer;
        let columns = with_overhang(end - number_width..end, height);
        strike_out(&mut scene, look, columns, digits);
    }
    scene
}
