//! The `multipart/x-mixed-replace` stream of images: [`mod@write`] makes it in the one form that Chromium, Firefox and
//! WebKit all paint at once, [`read`] takes such a stream apart again and accepts nothing that is broken.
//!
//! Neither touches a socket: both work on bytes.

pub mod head;
pub mod read;
pub mod write;

pub use read::{Part, PartReader, ReadError};
pub use write::{Frame, opening};

/// Separates the parts. Long enough that no compressed image holds `--headcount` by chance (2⁻⁸⁸ for each position),
/// short enough to cost little in each frame.
pub const BOUNDARY: &str = "headcount";

/// The response's `Content-Type`. The boundary stands here without the two dashes that open it in the body.
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=headcount";
