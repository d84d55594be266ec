//! Text: fonts, and where each glyph of a line stands.

mod fonts;
mod hinting;
mod typeface;

pub(crate) use fonts::{FontGlyph, Fonts, Line, Placed};
pub use typeface::FontError;
