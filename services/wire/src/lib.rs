//! The `multipart/x-mixed-replace` stream of images. [`mod@write`] produces it in the one form that Chromium, Firefox
//! and WebKit all paint at once. [`PartReader`] and [`PartScanner`] read such a stream and reject everything invalid.
//!
//! Nothing here touches a socket: both directions work on bytes.

pub mod delimiter;
pub mod error;
pub mod head;
pub mod parse;
pub mod read;
pub mod scan;
pub mod write;

pub use delimiter::Delimiter;
pub use error::ReadError;
pub use read::{Part, PartReader};
pub use scan::PartScanner;
pub use write::{Frame, opening};

/// Separates the parts. It is long enough that no compressed image contains `--headcount` by chance (2⁻⁸⁸ for each
/// position), and short enough to cost little in each frame.
pub const BOUNDARY: &str = "headcount";

/// The response's `Content-Type`. It names the boundary without the two dashes that precede it in the body.
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=headcount";
