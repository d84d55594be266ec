//! The plain picture: number and label, to stand in a line of text.

use super::layout::{baseline, figure_height, mark_stale, share};
use crate::{
    figure::Figure,
    look::Look,
    scene::{Mark, Paint, Rounded, Scene, Shape},
    text::Fonts,
};

pub(crate) fn compose(fonts: &Fonts, look: &Look, figure: &Figure) -> Scene {
    let height = look.height();
    let figures = figure_height(height, height as f32 * 0.5);
    let em = fonts.typeface(Fonts::MAIN).em_for_figures(figures as f32);
    let baseline = baseline(height, figures);
    let padding = share(height, 0.2);

    let number = fonts.number(&look.text(figure), Fonts::MAIN, em);
    let label = fonts.words(look.label(), em);
    let gap = if look.label().is_empty() { 0 } else { (em * 0.35).round() as u32 };
    let label_x = padding + number.width + gap;
    let width = label_x + label.width + padding;
    let mut marks = Vec::new();
    if let Some(ground) = look.background() {
        let shape = Shape::rectangle((0.0, 0.0), (width as f32, height as f32), 0.0, Rounded::None);
        marks.push(Mark::Shape { shape, paint: Paint::Solid(ground) });
    }
    for (line, x) in [(number, padding), (label, label_x)] {
        marks.push(Mark::Text { line, x: x as i32, baseline, colour: look.ink() });
    }
    let mut scene = Scene { width, height, marks };
    if figure.stale {
        mark_stale(&mut scene, 0.0);
    }
    scene
}
