//! Composes a [`Scene`] in the style that a look names.

mod flat;
mod layout;
mod odometer;
mod plain;

use crate::{
    figure::Figure,
    look::{Look, Style},
    scene::Scene,
    text::TextLayout,
};

/// Composes a picture in the look's style.
pub(crate) fn compose(text: &TextLayout, look: &Look, figure: &Figure) -> Scene {
    match look.style() {
        Style::Flat => flat::compose(text, look, figure),
        Style::Plain => plain::compose(text, look, figure),
        Style::Odometer => odometer::compose(text, look, figure),
    }
}
