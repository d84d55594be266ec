//! [`PartReader`]: is fed the bytes of a stream as they arrive, and returns whole parts.

use std::collections::VecDeque;

use bytes::Bytes;

pub use crate::error::{MAX_HEADER_BYTES, MAX_PART_BYTES};
use crate::{delimiter::Delimiter, error::ReadError, head::boundary, scan::PartScanner};

/// Reads a multipart body. Feed it with [`push`](Self::push), then call [`next_part`](Self::next_part) until it
/// returns `None`.
#[derive(Debug)]
pub struct PartReader {
    delimiter: Delimiter,
    scanner: PartScanner,
    parts: VecDeque<Bytes>,
    /// Why nothing is read any more, once the stream is invalid.
    invalid: Option<ReadError>,
}

impl PartReader {
    /// A reader for a boundary, which is given without its two leading dashes.
    pub fn new(boundary: &str) -> Self {
        let delimiter = Delimiter::new(boundary);
        Self { delimiter, scanner: PartScanner::new(), parts: VecDeque::new(), invalid: None }
    }

    /// A reader for the boundary that a response's `Content-Type` names. Returns `None` if [`boundary`] finds none.
    pub fn for_content_type(content_type: &str) -> Option<Self> {
        boundary(content_type).map(Self::new)
    }

    /// Reads bytes of the body in the order in which they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.invalid.is_none() {
            let keep = |part: &[u8]| {
                self.parts.push_back(Bytes::copy_from_slice(part));
                Ok(())
            };
            self.invalid = self.scanner.push(&self.delimiter, bytes, keep).err();
        }
    }

    /// Whether the closing boundary has been read.
    pub fn ended(&self) -> bool {
        self.scanner.ended()
    }

    /// Returns the body of the next whole part, one image, or `None` if it is not complete yet.
    ///
    /// # Errors
    /// Fails if the stream is invalid after the parts so far, and so does every further call.
    pub fn next_part(&mut self) -> Result<Option<Bytes>, ReadError> {
        match (self.parts.pop_front(), &self.invalid) {
            (None, Some(error)) => Err(error.clone()),
            (part, _) => Ok(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BOUNDARY, CONTENT_TYPE, Part, opening};

    fn read_all(boundary: &str, bytes: &[u8], chunk_bytes: usize) -> Result<(Vec<Bytes>, PartReader), ReadError> {
        let mut reader = PartReader::new(boundary);
        let mut parts = Vec::new();
        for chunk in bytes.chunks(chunk_bytes) {
            reader.push(chunk);
            while let Some(part) = reader.next_part()? {
                parts.push(part);
            }
        }
        Ok((parts, reader))
    }

    fn stream(images: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = opening("image/png").to_vec();
        let frames: Vec<Part> = images.iter().map(|image| Part::new(image, "image/png")).collect();
        for frame in &frames {
            bytes.extend_from_slice(frame.bytes());
        }
        bytes.extend_from_slice(&frames[frames.len() - 1].ending());
        bytes
    }

    proptest! {
        #[test]
        fn written_streams_are_read_in_chunks_of_any_size(
            images in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
            chunk_bytes in 1usize..300,
        ) {
            let (parts, reader) = read_all(BOUNDARY, &stream(&images), chunk_bytes).expect("our own stream");
            let mut expected = images.clone();
            expected.push(images[images.len() - 1].clone());
            prop_assert_eq!(parts, expected);
            prop_assert!(reader.ended());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), chunk_bytes in 1usize..50) {
            let _ = read_all("B", &bytes, chunk_bytes);
        }
    }

    #[test]
    fn streams_of_other_servers_are_read() {
        let mpjpeg = b"--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 3\r\n\r\nabc\r\n--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 2\r\n\r\nde\r\n--ffmpeg\r\n";
        let (parts, _) = read_all("ffmpeg", mpjpeg, 7).expect("ffmpeg's form");
        assert_eq!(parts, [&b"abc"[..], b"de"]);
        let leading = b"\r\n--x\r\n\r\nabc\r\n--x\r\n";
        assert_eq!(read_all("x", leading, 1).expect("a leading line end").0.len(), 1);
    }

    #[test]
    fn invalid_streams_are_rejected() {
        let error = |bytes: &[u8]| read_all("B", bytes, 5).expect_err("an invalid stream");
        assert!(matches!(error(b"GIF89a..."), ReadError::NoBoundary { .. }));
        assert!(matches!(error(b"--Bad\r\n\r\n"), ReadError::BoundaryTail(_)));
        assert!(matches!(error(b"--B\r\nno colon\r\n\r\n"), ReadError::Header(_)));
        assert!(matches!(error(b"--B\r\nContent-Length: 2\r\n\r\nabcdef\r\n--B\r\n"), ReadError::Length(2)));
        assert_eq!(error(b"--B\r\n\r\n\r\n--B\r\n"), ReadError::EmptyPart);
        assert!(matches!(error(b"--B\r\n\r\na\r\n--B--\r\nmore"), ReadError::AfterEnd(_)));
        let long = [b"--B\r\nX: ".to_vec(), vec![b'.'; MAX_HEADER_BYTES + 1]].concat();
        assert_eq!(error(&long), ReadError::LongHeaders);
    }

    #[test]
    fn an_error_is_repeated() {
        let mut reader = PartReader::new("B");
        reader.push(b"--B\r\nno colon\r\n\r\n");
        let error = reader.next_part().expect_err("a malformed header");
        assert_eq!(reader.next_part(), Err(error));
    }

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        assert!(PartReader::for_content_type(CONTENT_TYPE).is_some());
        for foreign in ["multipart/x-mixed-replace;boundary=ffmpeg", "Multipart/X-Mixed-Replace; boundary=\"--b\""] {
            assert!(PartReader::for_content_type(foreign).is_some(), "{foreign}");
        }
        for none in ["image/png", "multipart/x-mixed-replace", "multipart/x-mixed-replace; boundary="] {
            assert!(PartReader::for_content_type(none).is_none(), "{none}");
        }
    }
}
