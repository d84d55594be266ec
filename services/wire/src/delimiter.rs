//! [`Delimiter`]: the byte sequence that separates a stream's parts, prepared for searching.

use memchr::memmem::Finder;

/// What stands before the boundary's name within the body: a line end and two dashes.
const PREFIX: &[u8] = b"\r\n--";
const LINE_END_BYTES: usize = 2;

/// The delimiter of RFC 2046 §5.1.1: CRLF, two dashes, the boundary. It is built once for each boundary; all streams
/// that use the boundary can share it.
#[derive(Clone, Debug)]
pub struct Delimiter(Finder<'static>);

impl Delimiter {
    /// The delimiter for a boundary, which is given without its two leading dashes.
    pub fn new(boundary: &str) -> Self {
        Self(Finder::new(&[PREFIX, boundary.as_bytes()].concat()).into_owned())
    }

    /// The boundary, without its two leading dashes.
    pub fn boundary(&self) -> &[u8] {
        &self.bytes()[PREFIX.len()..]
    }

    /// The whole delimiter.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.needle()
    }

    /// The delimiter without its line end, as it stands at the beginning of the body.
    pub(crate) fn without_line_end(&self) -> &[u8] {
        &self.bytes()[LINE_END_BYTES..]
    }

    /// Returns where the delimiter first stands in `bytes`.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<usize> {
        self.0.find(bytes)
    }
}
