//! Reading a stream: [`PartReader`] is fed bytes as they come and gives whole parts, or says what is broken.
//!
//! It reads what the RFC (2046 §5.1) and today's streamers write: parts with and without `Content-Length`, with
//! advance headers or without, for any boundary.

use bytes::{Buf, Bytes, BytesMut};

use crate::head::{PartHead, boundary, excerpt};

/// Longest part body accepted. A badge at 3× is below 20 kB; cameras send a few hundred kB.
pub const MAX_PART_BYTES: usize = 8 << 20;
/// Longest block of part headers accepted; ours, with the padding, is 1,024 bytes.
pub const MAX_HEADER_BYTES: usize = 8 << 10;

/// One part of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The part's `Content-Type`, empty where it has none.
    pub content_type: String,
    /// The part's body: one image.
    pub body: Bytes,
}

/// What is broken in a stream. Nothing more can be read from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The body does not begin with the boundary that the response's head names.
    #[error("the body begins with {found:?} where the boundary --{boundary} was due")]
    NoBoundary {
        /// The boundary that was due.
        boundary: String,
        /// What stands there instead, cut short.
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

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Start,
    /// Behind a boundary's name: a line end or the closing dashes are due.
    Tail,
    Headers,
    Body {
        content_type: String,
        length: Option<usize>,
        /// So many bytes of the buffer are known to hold no delimiter's beginning.
        searched: usize,
    },
    Ended,
}

/// Takes a multipart body apart. Feed it with [`push`](Self::push), then call [`next_part`](Self::next_part) until it
/// gives `None`.
#[derive(Clone, Debug)]
pub struct PartReader {
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
}

impl PartReader {
    /// A reader for the boundary that a response's `Content-Type` names, without its two leading dashes.
    pub fn new(boundary: &str) -> Self {
        Self { delimiter: format!("\r\n--{boundary}").into_bytes(), buffer: BytesMut::new(), state: State::Start }
    }

    /// Takes the boundary from a response's `Content-Type`; `None` where it is not a multipart stream with one: see
    /// [`boundary`].
    pub fn for_content_type(content_type: &str) -> Option<Self> {
        boundary(content_type).map(Self::new)
    }

    /// Adds bytes of the body as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the closing boundary has been read.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the bytes so far stop inside an image (advance headers that wait for their image do not count): what
    /// a stream that is cut off now would leave broken.
    pub fn inside_image(&self) -> bool {
        matches!(self.state, State::Body { .. }) && !self.buffer.is_empty()
    }

    /// The next whole part, or `None` until more bytes come.
    ///
    /// # Errors
    /// The first thing that is broken; it stays the answer to every further call.
    pub fn next_part(&mut self) -> Result<Option<Part>, ReadError> {
        loop {
            let went_on = match self.state.clone() {
                State::Start => self.start()?,
                State::Tail => self.tail()?,
                State::Headers => self.headers()?,
                State::Body { content_type, length, searched } => match self.body(length, searched)? {
                    Some(body) => return Ok(Some(Part { content_type, body })),
                    None => false,
                },
                State::Ended => self.after_end()?,
            };
            if !went_on {
                return Ok(None);
            }
        }
    }

    /// The delimiter without its line end, as it stands at the body's very beginning.
    fn bare(&self) -> &[u8] {
        &self.delimiter[2..]
    }

    fn start(&mut self) -> Result<bool, ReadError> {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
        }
        let due = self.bare().len();
        let have = self.buffer.len().min(due);
        if self.buffer[..have] != self.bare()[..have] && self.buffer[..] != b"\r"[..] {
            let boundary = String::from_utf8_lossy(&self.bare()[2..]).into_owned();
            return Err(ReadError::NoBoundary { boundary, found: self.excerpt() });
        }
        if have < due {
            return Ok(false);
        }
        self.buffer.advance(due);
        self.state = State::Tail;
        Ok(true)
    }

    fn tail(&mut self) -> Result<bool, ReadError> {
        if self.buffer.len() < 2 {
            return Ok(false);
        }
        self.state = match &self.buffer[..2] {
            b"\r\n" => State::Headers,
            b"--" => State::Ended,
            _ => return Err(ReadError::BoundaryTail(self.excerpt())),
        };
        self.buffer.advance(2);
        Ok(true)
    }

    fn headers(&mut self) -> Result<bool, ReadError> {
        // A part may have no headers: then the blank line comes at once.
        let (block, skip) = if self.buffer.starts_with(b"\r\n") {
            (0, 2)
        } else if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
            (end, 4)
        } else if self.buffer.len() > MAX_HEADER_BYTES {
            return Err(ReadError::LongHeaders);
        } else {
            return Ok(false);
        };
        if block > MAX_HEADER_BYTES {
            return Err(ReadError::LongHeaders);
        }
        let head = self.buffer.split_to(block);
        self.buffer.advance(skip);
        let PartHead { content_type, length } = PartHead::parse(&head)?;
        self.state = State::Body { content_type: content_type.to_owned(), length, searched: 0 };
        Ok(true)
    }

    fn body(&mut self, length: Option<usize>, searched: usize) -> Result<Option<Bytes>, ReadError> {
        let end = match length {
            Some(length) => {
                // The boundary behind a counted body is due at once; its line end may be missing.
                let rest = self.buffer.get(length..).unwrap_or_default();
                let delimiter =
                    if rest.is_empty() || rest[0] == b'\r' { &self.delimiter[..] } else { &self.delimiter[2..] };
                let have = rest.len().min(delimiter.len());
                if rest[..have] != delimiter[..have] {
                    return Err(ReadError::Length(length));
                }
                if have < delimiter.len() {
                    return Ok(None);
                }
                (length, delimiter.len())
            }
            None => match find(&self.buffer[searched..], &self.delimiter) {
                Some(at) => (searched + at, self.delimiter.len()),
                None if self.buffer.len() > MAX_PART_BYTES => return Err(ReadError::LongPart),
                None => {
                    let safe = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
                    if let State::Body { searched, .. } = &mut self.state {
                        *searched = safe;
                    }
                    return Ok(None);
                }
            },
        };
        if end.0 == 0 {
            return Err(ReadError::EmptyPart);
        }
        let body = self.buffer.split_to(end.0).freeze();
        self.buffer.advance(end.1);
        self.state = State::Tail;
        Ok(Some(body))
    }

    fn after_end(&mut self) -> Result<bool, ReadError> {
        // RFC 2046 lets a line end follow the closing boundary.
        let have = self.buffer.len().min(2);
        if self.buffer.len() > 2 || self.buffer[..have] != b"\r\n"[..have] {
            return Err(ReadError::AfterEnd(self.excerpt()));
        }
        Ok(false)
    }

    fn excerpt(&self) -> String {
        excerpt(&self.buffer)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
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
