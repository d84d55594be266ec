//! What makes a stream invalid, and the size limits that decide it.

/// Longest part body accepted, in bytes. A badge at scale 3 is below 20 kB; cameras send a few hundred kB.
pub const MAX_PART_BYTES: usize = 8 << 20;
/// Longest block of part headers accepted, in bytes. Our longest, with the padding, is below 1,024.
pub const MAX_HEADER_BYTES: usize = 8 << 10;

/// Bytes of the stream that an error message quotes.
const EXCERPT_BYTES: usize = 40;

/// Why a stream is invalid. Nothing more can be read from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The body does not begin with the boundary that the response's head names.
    #[error("the body begins with {found:?} instead of the boundary --{boundary}")]
    NoBoundary {
        /// The expected boundary.
        boundary: String,
        /// The first bytes found in its place.
        found: String,
    },
    /// A boundary is followed by neither a line end nor the two dashes that close the stream.
    #[error("a boundary is followed by {0:?}, neither a line end nor the closing dashes")]
    BoundaryTail(String),
    /// A part's headers are longer than [`MAX_HEADER_BYTES`].
    #[error("a part's headers are longer than {MAX_HEADER_BYTES} bytes")]
    LongHeaders,
    /// A part header is not `name: value` in ASCII.
    #[error("a part header is malformed: {0:?}")]
    Header(String),
    /// A part's body is longer than [`MAX_PART_BYTES`].
    #[error("a part is longer than {MAX_PART_BYTES} bytes")]
    LongPart,
    /// A part's `Content-Length` does not lead to a boundary.
    #[error("a part of Content-Length {0} is not followed by a boundary")]
    Length(usize),
    /// A part has no body at all, which browsers take for a broken image.
    #[error("a part is empty")]
    EmptyPart,
    /// Bytes follow the closing boundary.
    #[error("bytes follow the closing boundary: {0:?}")]
    AfterEnd(String),
}

/// Returns the beginning of `bytes`, for the message of a [`ReadError`].
pub fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES)]).into_owned()
}
