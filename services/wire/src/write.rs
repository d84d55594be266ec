//! Writing the stream: [`opening`] once, with the response's head; then a [`Frame`] a push; at a clean end
//! [`Frame::ending`].
//!
//! Every image is followed at once by the next part's boundary and headers ("advance headers"): Chromium and WebKit
//! paint a part only when they have parsed the headers of the next one. No part states its length, because the next
//! image's length is not known when its headers are sent.

use bytes::Bytes;

use crate::BOUNDARY;

/// Body bytes that must have come before Chromium lets a cross-origin image through: the sniff buffer of its Opaque
/// Response Blocking.
pub const SNIFF_BYTES: usize = 1024;

/// The body's first bytes: the first boundary and part headers, padded so that with them [`SNIFF_BYTES`] of body have
/// been sent. `content_type` is that of the images, for instance `image/png`.
///
/// The padding is a header of the first part. It cannot be a preamble: Chromium takes one for part 1.
pub fn opening(content_type: &str) -> Bytes {
    let mut opening = format!("--{BOUNDARY}\r\nContent-Type: {content_type}\r\nX-Padding: ");
    let end = "\r\n\r\n";
    while opening.len() + end.len() < SNIFF_BYTES {
        opening.push('.');
    }
    opening.push_str(end);
    opening.into()
}

/// One push: an image, and the headers of the part that will follow it. Cheap to clone: all viewers share its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    image_bytes: usize,
}

impl Frame {
    /// Makes the frame of `image`, to be followed by another image of the same `content_type`.
    pub fn new(image: &[u8], content_type: &str) -> Self {
        let advance = format!("\r\n--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n");
        let mut bytes = Vec::with_capacity(image.len() + advance.len());
        bytes.extend_from_slice(image);
        bytes.extend_from_slice(advance.as_bytes());
        Self { bytes: bytes.into(), image_bytes: image.len() }
    }

    /// What is written for this push: the image and the advance headers.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The image alone.
    pub fn image(&self) -> Bytes {
        self.bytes.slice(..self.image_bytes)
    }

    /// The last words of a stream in which this frame, or any other, was the newest: the image once more, as the part
    /// that is already open, and the closing boundary. Then comes a clean FIN.
    ///
    /// Without the repeated image WebKit would show a broken-image icon in place of the last frame.
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
    fn opening_reaches_the_sniff_buffer_to_the_byte() {
        let opening = opening("image/png");
        assert_eq!(opening.len(), SNIFF_BYTES);
        assert!(opening.starts_with(b"--headcount\r\nContent-Type: image/png\r\nX-Padding: ...."));
        assert!(opening.ends_with(b"...\r\n\r\n"));
    }

    #[test]
    fn a_frame_carries_the_next_parts_headers() {
        let frame = Frame::new(b"IMAGE", "image/jpeg");
        assert_eq!(&frame.bytes()[..], b"IMAGE\r\n--headcount\r\nContent-Type: image/jpeg\r\n\r\n");
        assert_eq!(&frame.image()[..], b"IMAGE");
    }

    #[test]
    fn an_ending_repeats_the_image_and_closes() {
        let frame = Frame::new(b"IMAGE", "image/jpeg");
        assert_eq!(&frame.ending()[..], b"IMAGE\r\n--headcount--\r\n");
    }
}
