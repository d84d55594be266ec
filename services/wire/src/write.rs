//! Writes the stream: [`opening`] once, with the response's head; then one [`Part`] per update; at a clean end an [`ending`].
//!
//! Every image is followed at once by the next part's boundary and headers ("advance headers"): Chromium and WebKit
//! paint a part only after they have parsed the headers of the next one. No part has a `Content-Length`, because an
//! image's length is not known when its headers are sent.

use bytes::Bytes;

/// Separates the parts. It is long enough that no compressed image contains `--headcount` by chance (2⁻⁸⁸ for each
/// position), and short enough to cost little in each frame.
pub const BOUNDARY: &str = "headcount";

/// The response's `Content-Type`. It names the boundary without the two dashes that precede it in the body.
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=headcount";

/// Body bytes that Chromium must receive before it shows a cross-origin image: the sniff buffer of its Opaque Response
/// Blocking.
pub const SNIFF_BYTES: usize = 1024;

/// Returns the body's first bytes: the first boundary and part headers, padded to [`SNIFF_BYTES`]. `content_type` is that
/// of the images, for instance `image/png`.
///
/// The padding is a header of the first part. It cannot be a preamble: Chromium takes a preamble for part 1.
pub fn opening(content_type: &str) -> Bytes {
    let headers = format!("--{BOUNDARY}\r\nContent-Type: {content_type}\r\nX-Padding: ");
    let end = "\r\n\r\n";
    let padding = ".".repeat(SNIFF_BYTES.saturating_sub(headers.len() + end.len()));
    [headers.as_str(), &padding, end].concat().into()
}

/// One update: an image, and the headers of the part that will follow it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    bytes: Bytes,
    image_bytes: usize,
}

impl Part {
    /// The part of `image`, whose successor will have the same `content_type`.
    pub fn new(image: &[u8], content_type: &str) -> Self {
        let advance = advance_headers(content_type);
        let mut bytes = Vec::with_capacity(image.len() + advance.len());
        bytes.extend_from_slice(image);
        bytes.extend_from_slice(advance.as_bytes());
        Self { bytes: bytes.into(), image_bytes: image.len() }
    }

    /// A part from its own [`bytes`](Self::bytes). `None` if they are those of no part with this `content_type`.
    pub fn from_bytes(bytes: Bytes, content_type: &str) -> Option<Self> {
        let image_bytes = bytes.strip_suffix(advance_headers(content_type).as_bytes())?.len();
        Some(Self { bytes, image_bytes })
    }

    /// The bytes to write: the image and the advance headers.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The image alone.
    pub fn image(&self) -> Bytes {
        self.bytes.slice(..self.image_bytes)
    }

    /// Returns the end of a stream that ends with this part's image; see [`ending`].
    pub fn ending(&self) -> Bytes {
        ending(&self.bytes[..self.image_bytes])
    }
}

/// Returns the end of a stream after any part: in the part that is already open, the last image, then the closing boundary. A
/// clean FIN follows.
///
/// Without an image there, WebKit would replace the one before it by a broken-image icon.
pub fn ending(image: &[u8]) -> Bytes {
    let mut ending = Vec::with_capacity(image.len() + BOUNDARY.len() + 8);
    ending.extend_from_slice(image);
    ending.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    ending.into()
}

/// The headers of the next part, which follow each image.
fn advance_headers(content_type: &str) -> String {
    format!("\r\n--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opening_exactly_fills_the_sniff_buffer() {
        let opening = opening("image/png");
        assert_eq!(opening.len(), SNIFF_BYTES);
        assert!(opening.starts_with(b"--headcount\r\nContent-Type: image/png\r\nX-Padding: ...."));
        assert!(opening.ends_with(b"...\r\n\r\n"));
    }

    #[test]
    fn a_part_contains_the_next_ones_headers() {
        let part = Part::new(b"IMAGE", "image/jpeg");
        assert_eq!(&part.bytes()[..], b"IMAGE\r\n--headcount\r\nContent-Type: image/jpeg\r\n\r\n");
        assert_eq!(&part.image()[..], b"IMAGE");
    }

    #[test]
    fn an_ending_repeats_the_image_and_closes_the_stream() {
        let part = Part::new(b"IMAGE", "image/jpeg");
        assert_eq!(&part.ending()[..], b"IMAGE\r\n--headcount--\r\n");
    }

    #[test]
    fn a_part_is_read_from_its_bytes() {
        let part = Part::new(b"IMAGE", "image/jpeg");
        assert_eq!(Part::from_bytes(part.bytes().clone(), "image/jpeg"), Some(part.clone()));
        assert_eq!(Part::from_bytes(part.bytes().clone(), "image/png"), None);
        assert_eq!(Part::from_bytes(part.image(), "image/jpeg"), None);
    }
}
