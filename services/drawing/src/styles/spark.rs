//! The spark: the number, with the last hour behind it.

use super::{
    curve::{Plot, area, curve, dashes, unknown},
    layout::{baseline, digit_height, share},
    mark::{Tone, strike_out, with_overhang},
};
use crate::{
    chart::{Chart, Palette, View, columns},
    figure::Figure,
    look::Look,
    scene::{Element, Ink, Paint, Rounded, Scene, Shape},
    text::{Fonts, TextLayout},
};

pub(crate) fn compose(text: &TextLayout, look: &Look, figure: &Figure, chart: Option<Chart<'_>>) -> Scene {
    let (width, height) = (look.width().unwrap_or_default(), look.height());
    let tone = Tone::of(figure);
    let palette = Palette::of(look, |colour| tone.ground(colour)).behind_text();
    let view = View::of(look, figure, chart).last_hour();
    let mut scene = Scene { width, height, elements: Vec::new() };
    let mut shape = |shape: Shape, colour| {
        if !shape.curves.is_empty() {
            scene.elements.push(Element::Shape { shape, paint: Paint::Solid(colour) });
        }
    };
    shape(Shape::rectangle((0.0, 0.0), (width as f32, height as f32), 0.0, Rounded::None), palette.ground);

    let padding = share(height, 0.2);
    let available = width - 2 * padding;
    let digits = digit_height(height, height as f32 * 0.5);
    let written = look.text(figure);
    let mut em = text.em_for_digits(Fonts::MAIN, digits);
    while text.number(&written, Fonts::MAIN, em).width > available && em > 1.0 {
        em *= 0.9;
    }
    let number = text.number(&written, Fonts::MAIN, em);
    let number_end = padding + number.width;
    let label_em = text.em_for_digits(Fonts::MAIN, (digits / 2).max(7).min(digits));
    let label = text.label(look.label(), label_em);
    let label_x = number_end + share(height, 0.15);
    let has_label = label.width > 0 && label_x + label.width <= padding + available;
    let text_end = if has_label { label_x + label.width } else { number_end } + share(height, 0.1);

    let most = view.highest().map_or(0, |(_, peak)| peak.count).max(view.small).max(1) as f64;
    let top = share(height, 0.1);
    let plot = Plot { left: 0, width, top, bottom: height, most, scale: look.scale() };
    let mut columns = columns(view.points, view.small, plot.columns());
    for run in unknown(&columns) {
        shape(dashes(&plot, (plot.x(run.start), plot.x(run.end))), palette.gap);
    }
    shape(area(&plot, &columns, |column| column.highest), palette.high);
    shape(area(&plot, &columns, |column| column.lowest), palette.low);
    // No line is drawn behind text.
    columns.iter_mut().take((text_end * look.scale()) as usize).for_each(|column| *column = None);
    shape(curve(&plot, &columns, 1.0), palette.curve);

    let baseline = baseline(height, digits);
    let opacity = tone.ink(palette.ink).opacity;
    let mut put = |line, x: u32, colour| {
        scene.elements.push(Element::Text { line, x: x as i32, baseline, ink: Ink { colour, opacity } });
    };
    put(number, padding, palette.ink);
    if has_label {
        put(label, label_x, palette.soft);
    }
    if tone == Tone::Marked {
        strike_out(&mut scene, look, with_overhang(padding..number_end, height), digits);
    }
    scene
}
