//! The odometer: figures on drums behind a window, as the counters of the first web pages had them.

use super::layout::{baseline, figure_height, mark_stale, share};
use crate::{
    colour::Colour,
    figure::Figure,
    look::Look,
    scene::{Mark, Paint, Rounded, Scene, Shape, Stop},
    text::{Fonts, Line},
};

/// The case, and its edges where the light from above strikes and where it does not.
const CASE: Colour = Colour([0x4b, 0x4e, 0x54]);
const CASE_LIT: Colour = Colour([0x8d, 0x91, 0x98]);
const CASE_SHADED: Colour = Colour([0x2a, 0x2c, 0x30]);
/// Behind and between the drums.
const DEPTH: Colour = Colour([0x06, 0x06, 0x07]);
/// Letters on the case.
const LABEL_INK: Colour = Colour([0xf2, 0xf2, 0xf0]);
/// Light and shadow on a drum, from where it turns away above to where it turns away below.
const CURVE: [(f32, Colour, f32); 7] = [
    (0.0, Colour::BLACK, 0.85),
    (0.12, Colour::BLACK, 0.5),
    (0.3, Colour::BLACK, 0.0),
    (0.42, Colour::WHITE, 0.14),
    (0.55, Colour::BLACK, 0.0),
    (0.85, Colour::BLACK, 0.5),
    (1.0, Colour::BLACK, 0.85),
];

pub(crate) fn compose(fonts: &Fonts, look: &Look, figure: &Figure) -> Scene {
    let height = look.height();
    let ground = look.background().expect("drums have a ground of their own");
    let edge = share(height, 0.05).max(1);
    let bezel = 2 * edge;
    let radius = height as f32 * 0.12;

    let figures = figure_height(height, height as f32 * 0.55);
    let em = fonts.typeface(fonts.drums()).em_for_figures(figures as f32);
    let drums: Vec<(u32, Line)> = look
        .text(figure)
        .chars()
        .map(|character| {
            let width = if matches!(character, ',' | '.') { 0.3 } else { 0.6 };
            (share(height, width), fonts.number(character.encode_utf8(&mut [0; 4]), fonts.drums(), em))
        })
        .collect();

    let label_em = fonts.typeface(Fonts::MAIN).em_for_figures(figure_height(height, height as f32 * 0.4) as f32);
    let label = fonts.words(look.label(), label_em);
    let label_x = share(height, 0.3);
    let window_x = if look.label().is_empty() { bezel } else { label_x + label.width + share(height, 0.25) };
    let window_width = edge + drums.iter().map(|(width, _)| width + edge).sum::<u32>();

    let mut scene = Scene { width: window_x + window_width + bezel, height, marks: Vec::new() };
    let (right, bottom) = (scene.width as f32, height as f32);
    let mut plate = |top: f32, bottom: f32, colour| {
        let shape = Shape::rectangle((0.0, top), (right, bottom), radius, Rounded::All);
        scene.marks.push(Mark::Shape { shape, paint: Paint::Solid(colour) });
    };
    plate(0.0, bottom, CASE_SHADED);
    plate(0.0, bottom - edge as f32, CASE_LIT);
    plate(edge as f32, bottom - edge as f32, CASE);
    let label_baseline = baseline(height, figure_height(height, height as f32 * 0.4));
    let colour = look.foreground().unwrap_or(LABEL_INK);
    scene.marks.push(Mark::Text { line: label, x: label_x as i32, baseline: label_baseline, colour });

    let upright = |x: u32, width: u32| {
        let (top, bottom) = (bezel as f32, (height - bezel) as f32);
        Shape::rectangle((x as f32, top), ((x + width) as f32, bottom), 0.0, Rounded::None)
    };
    scene.marks.push(Mark::Shape { shape: upright(window_x, window_width), paint: Paint::Solid(DEPTH) });
    let mut x = window_x + edge;
    for (width, line) in drums {
        scene.marks.push(Mark::Shape { shape: upright(x, width), paint: Paint::Solid(ground) });
        let line_x = x as i32 + (width as i32 - line.width as i32) / 2;
        let baseline = baseline(height, figures);
        scene.marks.push(Mark::Text { line, x: line_x, baseline, colour: look.ink() });
        let stops = CURVE.map(|(at, colour, opacity)| Stop { at, colour, opacity });
        scene.marks.push(Mark::Shape { shape: upright(x, width), paint: Paint::Shaded(stops.to_vec()) });
        x += width + edge;
    }
    if figure.stale {
        mark_stale(&mut scene, radius);
    }
    scene
}
