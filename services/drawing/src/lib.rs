//! Draws numbers as pictures: [`Artist`] renders a [`Figure`] in a [`Look`] as a PNG, JPEG or SVG with a [`Stamp`], and an
//! [`Animation`] as an animated PNG. On a [`Canvas`] it draws whatever else consists of rectangles and text.
//!
//! Nothing here depends on HTTP, counters or viewers. The same look, figure and format give the same bytes everywhere.

mod alternative;
mod animation;
mod artist;
mod canvas;
mod chart;
mod colour;
mod encode;
mod estimate;
mod figure;
mod format;
mod look;
mod number;
mod query;
mod rasterizer;
mod scene;
mod sprites;
mod stamp;
mod styles;
mod text;

pub use animation::Animation;
pub use artist::Artist;
pub use canvas::Canvas;
pub use chart::Chart;
pub use colour::Colour;
pub use figure::{Count, Figure};
pub use format::Format;
pub use look::{Look, Shows, Style};
pub use number::Writing;
pub use query::{LookError, OPTIONS};
pub use sprites::{SetName, SpriteErrors, SpriteSet, SpriteSets};
pub use stamp::{Stamp, StampError, read_stamp};
pub use text::FontError;
