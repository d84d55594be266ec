//! Writes the stream: [`opening`] once, with the response's head; then one [`Frame`] per update; at a clean end
//! [`Frame::ending`].
//!
//! Every image is followed at once by the next part's boundary and headers ("advance headers"): Chromium and WebKit
//! paint a part only after they have parsed the headers of the next one. No part has a `Content-Length`, because an
//! image's length is not known when its headers are sent.

use bytes::Bytes;

use crate::BOUNDARY;

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

/// One update: an image, and the headers of the part that will follow it. Cheap to clone: all viewers share its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    image_bytes: usize,
}

impl Frame {
    /// The frame of `image`, whose successor will have the same `content_type`.
    pub fn new(image: &[u8], content_type: &str) -> Self {
        let advance = format!("\r\n--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n");
        let mut bytes = Vec::with_capacity(image.len() + advance.len());
        bytes.extend_from_slice(image);
        bytes.extend_from_slice(advance.as_bytes());
        Self { bytes: bytes.into(), image_bytes: image.len() }
    }

    /// The bytes to write: the image and the advance headers.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The image alone.
    pub fn image(&self) -> Bytes {
        self.bytes.slice(..self.image_bytes)
    }

    /// Returns the end of a stream after any frame: this frame's image, in the part that is already open, and the closing
    /// boundary. A clean FIN follows.
    ///
    /// Without the image, WebKit would replace the last frame by a broken-image icon.
    pub fn ending(&self) -> Bytes {
        let mut ending = Vec::with_capacity(self.image_bytes + BOUNDARY.len() + 8);
        ending.extend_from_slice(&self.bytes[..self.image_bytes]);
        ending.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        ending.into()
    }
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
    fn a_frame_contains_the_next_parts_headers() {
        let frame = Frame::new(b"IMAGE", "image/jpeg");
        assert_eq!(&frame.bytes()[..], b"IMAGE\r\n--headcount\r\nContent-Type: image/jpeg\r\n\r\n");
        assert_eq!(&frame.image()[..], b"IMAGE");
    }

    #[test]
    fn an_ending_repeats_the_image_and_closes_the_stream() {
        let frame = Frame::new(b"IMAGE", "image/jpeg");
        assert_eq!(&frame.ending()[..], b"IMAGE\r\n--headcount--\r\n");
    }
}
