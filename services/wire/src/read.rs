//! [`PartReader`]: is fed the bytes of a stream as they arrive, and returns whole parts.

use bytes::{Buf, Bytes, BytesMut};

pub use crate::error::{MAX_HEADER_BYTES, MAX_PART_BYTES};
use crate::{
    delimiter::Delimiter,
    error::ReadError,
    head::boundary,
    parse::{Event, Parser},
};

/// One part of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The part's `Content-Type`; empty if it has none.
    pub content_type: String,
    /// The part's body: one image.
    pub body: Bytes,
}

/// Reads a multipart body. Feed it with [`push`](Self::push), then call [`next_part`](Self::next_part) until it
/// returns `None`.
#[derive(Clone, Debug)]
pub struct PartReader {
    delimiter: Delimiter,
    parser: Parser,
    /// Of the part whose headers were parsed last.
    content_type: String,
    unread: BytesMut,
}

impl PartReader {
    /// A reader for a boundary, which is given without its two leading dashes.
    pub fn new(boundary: &str) -> Self {
        Self {
            delimiter: Delimiter::new(boundary),
            parser: Parser::new(),
            content_type: String::new(),
            unread: BytesMut::new(),
        }
    }

    /// A reader for the boundary that a response's `Content-Type` names. Returns `None` if [`boundary`] finds none.
    pub fn for_content_type(content_type: &str) -> Option<Self> {
        boundary(content_type).map(Self::new)
    }

    /// Adds bytes of the body in the order in which they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Whether the closing boundary has been read.
    pub fn ended(&self) -> bool {
        self.parser.ended()
    }

    /// Whether the bytes so far stop inside an image, so that a stream cut off now would leave it broken. Advance
    /// headers whose image has not begun do not count.
    pub fn inside_image(&self) -> bool {
        self.parser.in_body() && !self.unread.is_empty()
    }

    /// Returns the next whole part, or `None` if it is not complete yet.
    ///
    /// # Errors
    /// Fails if the stream is invalid. Every further call fails with the same error, unless more bytes are pushed.
    pub fn next_part(&mut self) -> Result<Option<Part>, ReadError> {
        loop {
            let (event, consumed) = self.parser.next(&self.delimiter, &self.unread)?;
            match event {
                Event::Headers(head) => {
                    head.content_type.clone_into(&mut self.content_type);
                    self.unread.advance(consumed);
                }
                Event::Part(body) => {
                    let body_bytes = body.len();
                    let mut part = self.unread.split_to(consumed);
                    part.truncate(body_bytes);
                    return Ok(Some(Part { content_type: self.content_type.clone(), body: part.freeze() }));
                }
                Event::NeedMore => {
                    self.unread.advance(consumed);
                    return Ok(None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BOUNDARY, CONTENT_TYPE, Frame, opening};

    fn read_all(boundary: &str, bytes: &[u8], step: usize) -> Result<(Vec<Part>, PartReader), ReadError> {
        let mut reader = PartReader::new(boundary);
        let mut parts = Vec::new();
        for chunk in bytes.chunks(step.max(1)) {
            reader.push(chunk);
            while let Some(part) = reader.next_part()? {
                parts.push(part);
            }
        }
        Ok((parts, reader))
    }

    fn stream(images: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = opening("image/png").to_vec();
        let frames: Vec<Frame> = images.iter().map(|image| Frame::new(image, "image/png")).collect();
        for frame in &frames {
            bytes.extend_from_slice(frame.bytes());
        }
        bytes.extend_from_slice(&frames[frames.len() - 1].ending());
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_in_any_pieces(
            images in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
            step in 1usize..300,
        ) {
            let (parts, reader) = read_all(BOUNDARY, &stream(&images), step).expect("our own stream");
            let bodies: Vec<Vec<u8>> = parts.iter().map(|part| part.body.to_vec()).collect();
            let mut expected = images.clone();
            expected.push(images[images.len() - 1].clone());
            prop_assert_eq!(bodies, expected);
            prop_assert!(parts.iter().all(|part| part.content_type == "image/png"));
            prop_assert!(reader.ended());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), step in 1usize..50) {
            let _ = read_all("B", &bytes, step);
        }
    }

    #[test]
    fn foreign_streams_are_read() {
        let mpjpeg = b"--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 3\r\n\r\nabc\r\n--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 2\r\n\r\nde\r\n--ffmpeg\r\n";
        let (parts, _) = read_all("ffmpeg", mpjpeg, 7).expect("ffmpeg's form");
        assert_eq!(parts.iter().map(|part| &part.body[..]).collect::<Vec<_>>(), [&b"abc"[..], b"de"]);
        let leading = b"\r\n--x\r\n\r\nabc\r\n--x\r\n";
        assert_eq!(read_all("x", leading, 1).expect("a leading line end").0.len(), 1);
    }

    #[test]
    fn broken_streams_are_refused() {
        let refused = |bytes: &[u8]| read_all("B", bytes, 5).expect_err("a broken stream");
        assert!(matches!(refused(b"GIF89a..."), ReadError::NoBoundary { .. }));
        assert!(matches!(refused(b"--Bad\r\n\r\n"), ReadError::BoundaryTail(_)));
        assert!(matches!(refused(b"--B\r\nno colon\r\n\r\n"), ReadError::Header(_)));
        assert!(matches!(refused(b"--B\r\nContent-Length: 2\r\n\r\nabcdef\r\n--B\r\n"), ReadError::Length(2)));
        assert_eq!(refused(b"--B\r\n\r\n\r\n--B\r\n"), ReadError::EmptyPart);
        assert!(matches!(refused(b"--B\r\n\r\na\r\n--B--\r\nmore"), ReadError::AfterEnd(_)));
        let long = [b"--B\r\nX: ".to_vec(), vec![b'.'; MAX_HEADER_BYTES + 1]].concat();
        assert_eq!(refused(&long), ReadError::LongHeaders);
    }

    #[test]
    fn the_boundary_comes_from_the_head() {
        assert!(PartReader::for_content_type(CONTENT_TYPE).is_some());
        for foreign in ["multipart/x-mixed-replace;boundary=ffmpeg", "Multipart/X-Mixed-Replace; boundary=\"--b\""] {
            assert!(PartReader::for_content_type(foreign).is_some(), "{foreign}");
        }
        for none in ["image/png", "multipart/x-mixed-replace", "multipart/x-mixed-replace; boundary="] {
            assert!(PartReader::for_content_type(none).is_none(), "{none}");
        }
    }
}
