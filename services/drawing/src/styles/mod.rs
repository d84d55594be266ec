//! Composes a [`Scene`] in the style that a look names.

mod flat;
mod layout;
mod odometer;
mod plain;

use crate::{
    figure::Figure,
    look::{Look, Style},
    scene::Scene,
    text::Fonts,
};

/// Composes a picture in the look's style.
pub(crate) fn compose(fonts: &Fonts, look: &Look, figure: &Figure) -> Scene {
    match look.style() {
        Style::Flat => flat::compose(fonts, look, figure),
        Style::Plain => plain::compose(fonts, look, figure),
        Style::Odometer => odometer::compose(fonts, look, figure),
    }
}
