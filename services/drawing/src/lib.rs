//! Draws a number as a picture: a [`Figure`] in a [`Look`] becomes a PNG, a JPEG or an SVG that carries its [`Stamp`].
//!
//! Nothing here knows of HTTP, counters or viewers. The same look, figure and format give the same bytes everywhere.

mod artist;
mod colour;
mod encode;
mod figure;
mod format;
mod look;
mod number;
mod query;
mod rasterizer;
mod scene;
mod stamp;
mod styles;
mod text;

pub use artist::Artist;
pub use colour::Colour;
pub use figure::{Count, Figure};
pub use format::Format;
pub use look::{Look, Shows, Style, Writing};
pub use query::{LookError, OPTIONS};
pub use stamp::{Stamp, StampError, read_stamp};
pub use text::FontError;
