//! The odometer: digits on drums behind a window, like the counters of early web pages.

use super::{
    layout::{baseline, digit_height, share},
    mark::{Tone, cross_out},
};
use crate::{
    colour::Colour,
    figure::Figure,
    look::Look,
    scene::{Element, Paint, Rounded, Scene, Shape, Stop},
    text::{Fonts, Line, TextLayout},
};

/// The case, its edges in the light that comes from above, and its edges in the shade.
const CASE: Colour = Colour([0x4b, 0x4e, 0x54]);
const CASE_LIT: Colour = Colour([0x8d, 0x91, 0x98]);
const CASE_SHADED: Colour = Colour([0x2a, 0x2c, 0x30]);
/// Behind and between the drums.
const WINDOW: Colour = Colour([0x06, 0x06, 0x07]);
const LABEL_COLOUR: Colour = Colour([0xf2, 0xf2, 0xf0]);
/// Light and shadow on a drum, from top to bottom: position, colour, opacity.
const SHADING: [(f32, Colour, f32); 7] = [
    (0.0, Colour::BLACK, 0.85),
    (0.12, Colour::BLACK, 0.5),
    (0.3, Colour::BLACK, 0.0),
    (0.42, Colour::WHITE, 0.14),
    (0.55, Colour::BLACK, 0.0),
    (0.85, Colour::BLACK, 0.5),
    (1.0, Colour::BLACK, 0.85),
];

pub(crate) fn compose(text: &TextLayout, look: &Look, figure: &Figure) -> Scene {
    let height = look.height();
    let tone = Tone::of(figure);
    let background = tone.ground(look.background().expect("the odometer style has a default background"));
    let edge = share(height, 0.05).max(1);
    let bezel = 2 * edge;
    let radius = height as f32 * 0.12;

    let font = text.fonts().odometer();
    let digits = digit_height(height, height as f32 * 0.55);
    let em = text.em_for_digits(font, digits);
    let drums: Vec<(u32, Line)> = look
        .text(figure)
        .chars()
        .map(|character| {
            let width = if matches!(character, ',' | '.') { 0.3 } else { 0.6 };
            (share(height, width), text.number(character.encode_utf8(&mut [0; 4]), font, em))
        })
        .collect();

    let label_digits = digit_height(height, height as f32 * 0.4);
    let label_em = text.em_for_digits(Fonts::MAIN, label_digits);
    let label = text.label(look.label(), label_em);
    let label_x = share(height, 0.3);
    let window_x = if look.label().is_empty() { bezel } else { label_x + label.width + share(height, 0.25) };
    let window_width = edge + drums.iter().map(|(width, _)| width + edge).sum::<u32>();

    let mut scene = Scene { width: window_x + window_width + bezel, height, elements: Vec::new() };
    let (right, bottom) = (scene.width as f32, height as f32);
    let mut plate = |top: f32, bottom: f32, colour| {
        let shape = Shape::rectangle((0.0, top), (right, bottom), radius, Rounded::All);
        scene.elements.push(Element::Shape { shape, paint: Paint::Solid(colour) });
    };
    plate(0.0, bottom, CASE_SHADED);
    plate(0.0, bottom - edge as f32, CASE_LIT);
    plate(edge as f32, bottom - edge as f32, CASE);
    let label_baseline = baseline(height, label_digits);
    let ink = tone.ink(look.foreground().unwrap_or(LABEL_COLOUR));
    scene.elements.push(Element::Text { line: label, x: label_x as i32, baseline: label_baseline, ink });

    let opening = |x: u32, width: u32| {
        let (top, bottom) = (bezel as f32, (height - bezel) as f32);
        Shape::rectangle((x as f32, top), ((x + width) as f32, bottom), 0.0, Rounded::None)
    };
    scene.elements.push(Element::Shape { shape: opening(window_x, window_width), paint: Paint::Solid(WINDOW) });
    let mut x = window_x + edge;
    for (width, line) in drums {
        scene.elements.push(Element::Shape { shape: opening(x, width), paint: Paint::Solid(background) });
        let line_x = x as i32 + (width as i32 - line.width as i32) / 2;
        let baseline = baseline(height, digits);
        scene.elements.push(Element::Text { line, x: line_x, baseline, ink: tone.ink(look.text_colour()) });
        let stops = SHADING.map(|(at, colour, opacity)| Stop { at, colour, opacity });
        scene.elements.push(Element::Shape { shape: opening(x, width), paint: Paint::Gradient(stops.to_vec()) });
        x += width + edge;
    }
    if tone == Tone::Marked {
        cross_out(&mut scene, look, window_x..window_x + window_width, bezel..height - bezel);
    }
    scene
}
