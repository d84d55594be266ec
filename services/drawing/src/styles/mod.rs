//! Composes a [`Scene`] in the style that a look names.

mod chart;
mod curve;
mod flat;
mod layout;
mod mark;
mod odometer;
mod plain;
mod spark;
mod sprites;

use crate::{
    chart::Chart,
    figure::Figure,
    look::{Look, Style},
    scene::Scene,
    sprites::SpriteSets,
    text::TextLayout,
};

/// Composes a picture in the look's style. Where its set of sprites does not exist, the built-in one takes its place.
/// `past` is for the styles that show it.
pub(crate) fn compose(
    text: &TextLayout,
    sets: &SpriteSets,
    look: &Look,
    figure: &Figure,
    past: Option<Chart<'_>>,
) -> Scene {
    match look.style() {
        Style::Flat => flat::compose(text, look, figure),
        Style::Plain => plain::compose(text, look, figure),
        Style::Odometer => odometer::compose(text, look, figure),
        Style::Sprites => sprites::compose(text, sets, look, figure),
        Style::Chart => chart::compose(text, look, figure, past),
        Style::Spark => spark::compose(text, look, figure, past),
    }
}
