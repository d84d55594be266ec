//! The streams as bytes, in each of their formats.
//!
//! Of images: `multipart/x-mixed-replace`. [`mod@write`] produces it in the one form that Chromium, Firefox and WebKit all
//! paint at once. [`PartReader`] and [`PartScanner`] read such a stream and reject everything invalid. Of real text: an HTML
//! document that does not end ([`html`]). For programs: server-sent events ([`events`]), and the past as JSON ([`history`]).
//!
//! Nothing here touches a socket: both directions work on bytes.

pub mod delimiter;
pub mod error;
pub mod events;
pub mod head;
pub mod history;
pub mod html;
pub mod parse;
pub mod read;
pub mod scan;
pub mod write;

pub use delimiter::Delimiter;
pub use error::ReadError;
pub use read::PartReader;
pub use scan::PartScanner;
pub use write::{BOUNDARY, CONTENT_TYPE, Part, ending, opening};
