//! The flat badge: the label on a dark ground, the number on a coloured one.

use super::layout::{baseline, figure_height, mark_stale, share};
use crate::{
    colour::Colour,
    figure::Figure,
    look::Look,
    scene::{Mark, Paint, Rounded, Scene, Shape},
    text::{Fonts, Line},
};

/// The label's ground.
const LABEL_GROUND: Colour = Colour([0x4a, 0x4f, 0x57]);

pub(crate) fn compose(fonts: &Fonts, look: &Look, figure: &Figure) -> Scene {
    let height = look.height();
    let figures = figure_height(height, height as f32 * 0.4);
    let em = fonts.typeface(Fonts::MAIN).em_for_figures(figures as f32);
    let baseline = baseline(height, figures);
    let (outer, inner) = (share(height, 0.3), share(height, 0.25));
    let radius = height as f32 * 0.15;

    let ground = look.background().expect("a flat badge has a ground of its own");
    let number = fonts.number(&look.text(figure), Fonts::MAIN, em);
    let mut scene = Scene { width: 0, height, marks: Vec::new() };
    let mut part = |line: Line, left, right, ground, ink, rounded| {
        let x = scene.width;
        scene.width += left + line.width + right;
        let (min, max) = ((x as f32, 0.0), (scene.width as f32, height as f32));
        let shape = Shape::rectangle(min, max, radius, rounded);
        scene.marks.push(Mark::Shape { shape, paint: Paint::Solid(ground) });
        scene.marks.push(Mark::Text { line, x: (x + left) as i32, baseline, colour: ink });
    };
    if look.label().is_empty() {
        part(number, outer, outer, ground, look.ink(), Rounded::All);
    } else {
        let ink = look.foreground().unwrap_or(Colour::WHITE);
        part(fonts.words(look.label(), em), outer, inner, LABEL_GROUND, ink, Rounded::Left);
        part(number, inner, outer, ground, look.ink(), Rounded::Right);
    }
    if figure.stale {
        mark_stale(&mut scene, radius);
    }
    scene
}
