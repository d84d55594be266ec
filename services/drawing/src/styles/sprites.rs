//! The sprites style: a picture for each digit, as the counters of early web pages had them.

use super::{
    layout::{baseline, digit_height, share},
    mark::{Tone, strike_out_sprites},
};
use crate::{
    figure::Figure,
    look::Look,
    scene::{Element, Paint, Rounded, Scene, Shape, Sprite},
    sprites::SpriteSets,
    text::{Fonts, TextLayout},
};

pub(crate) fn compose(text: &TextLayout, sets: &SpriteSets, look: &Look, figure: &Figure) -> Scene {
    let height = look.height();
    let tone = Tone::of(figure);
    let ink = tone.ink(look.text_colour());
    let (set_name, set) = sets.get_or_built_in(&look.sprite_set());
    let digit_width = set.digit_width(height);

    // What the set does not have, the fonts have.
    let digits = digit_height(height, height as f32 * 0.6);
    let em = text.em_for_digits(Fonts::MAIN, digits);
    let mut scene = Scene { width: 0, height, elements: Vec::new() };
    for character in look.text(figure).chars() {
        match set.sprite(character) {
            Some(number) => {
                let width = set.width(number, height);
                let column = if character.is_ascii_digit() { digit_width } else { width };
                let (set_name, set) = (set_name.clone(), set.clone());
                let x = scene.width + (column - width) / 2;
                scene.elements.push(Element::Sprite(Sprite { set_name, set, number, x, shade: tone.shade() }));
                scene.width += column;
            }
            None => {
                let line = text.number(character.encode_utf8(&mut [0; 4]), Fonts::MAIN, em);
                let (x, width) = (scene.width as i32, line.width);
                scene.elements.push(Element::Text { line, x, baseline: baseline(height, digits), ink });
                scene.width += width;
            }
        }
    }
    let number_width = scene.width;
    if !look.label().is_empty() {
        let digits = digit_height(height, height as f32 * 0.4);
        let label = text.label(look.label(), text.em_for_digits(Fonts::MAIN, digits));
        let x = scene.width + share(height, 0.25);
        scene.width = x + label.width + share(height, 0.2);
        scene.elements.push(Element::Text { line: label, x: x as i32, baseline: baseline(height, digits), ink });
    }
    if let Some(background) = look.background() {
        let shape = Shape::rectangle((0.0, 0.0), (scene.width as f32, height as f32), 0.0, Rounded::None);
        let paint = Paint::Solid(tone.ground(background));
        scene.elements.insert(0, Element::Shape { shape, paint });
    }
    if tone == Tone::Marked {
        strike_out_sprites(&mut scene, 0..number_width);
    }
    scene
}
