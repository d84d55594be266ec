//! Text: the fonts, and the position of each glyph in a line.

mod fonts;
mod hinting;
mod label;
mod layout;
mod line;
mod outline;
mod stems;
mod typeface;

pub(crate) use fonts::Fonts;
pub(crate) use layout::TextLayout;
pub(crate) use line::{FontGlyph, Line, PositionedGlyph};
pub use typeface::FontError;
