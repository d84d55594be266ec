//! Takes a multipart stream apart as [`headcount_wire::PartReader`] does, but lean enough for tens of thousands of
//! streams in one process: a stream that waits for its next image holds no buffer, and a part is borrowed from the
//! read buffer. The parts' grammar is kept once for all streams with the same boundary.

use headcount_wire::{
    ReadError,
    head::{PartHead, excerpt},
    read::{MAX_HEADER_BYTES, MAX_PART_BYTES},
};
use memchr::memmem;

/// The delimiter of all streams that name the same boundary.
#[derive(Debug)]
pub(crate) struct Grammar {
    delimiter: Vec<u8>,
    find_delimiter: memmem::Finder<'static>,
}

impl Grammar {
    pub(crate) fn new(boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Self { find_delimiter: memmem::Finder::new(&delimiter).into_owned(), delimiter }
    }

    /// Whether this is the grammar of `boundary`.
    pub(crate) fn is(&self, boundary: &str) -> bool {
        &self.delimiter[4..] == boundary.as_bytes()
    }

    /// As the delimiter stands at the body's very beginning: without its line end.
    fn bare(&self) -> &[u8] {
        &self.delimiter[2..]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Tail,
    Headers,
    Body { length: Option<u32> },
    Ended,
}

/// Where one stream stands.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    /// Bytes of an unfinished element; without capacity while the stream is idle.
    rest: Vec<u8>,
}

/// What one step through the bytes gave.
enum Step<'a> {
    /// So many bytes were used up.
    On(usize),
    /// A whole part, and the bytes used up with it.
    Part(&'a [u8], usize),
    /// More bytes are needed.
    Wait,
}

impl Scanner {
    /// A stream that begins with its first boundary.
    pub(crate) fn new() -> Self {
        Self { state: State::Start, rest: Vec::new() }
    }

    /// A stream that begins within its first part, the boundary and headers before it left out.
    pub(crate) fn inside_part() -> Self {
        Self { state: State::Body { length: None }, rest: Vec::new() }
    }

    /// Whether the closing boundary has been read.
    pub(crate) fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the bytes so far stop inside an image.
    pub(crate) fn inside_image(&self) -> bool {
        matches!(self.state, State::Body { .. }) && !self.rest.is_empty()
    }

    /// Reads `bytes`, and gives each whole part to `on_part`.
    pub(crate) fn feed<E: From<ReadError>>(
        &mut self,
        grammar: &Grammar,
        bytes: &[u8],
        mut on_part: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut kept = std::mem::take(&mut self.rest);
        let data = if kept.is_empty() {
            bytes
        } else {
            kept.extend_from_slice(bytes);
            &kept
        };
        let mut at = 0;
        loop {
            match self.step(grammar, &data[at..])? {
                Step::On(used) => at += used,
                Step::Part(part, used) => {
                    on_part(part)?;
                    at += used;
                }
                Step::Wait => break,
            }
        }
        self.rest = data[at..].to_vec();
        Ok(())
    }

    fn step<'a>(&mut self, grammar: &Grammar, data: &'a [u8]) -> Result<Step<'a>, ReadError> {
        match self.state {
            State::Start => self.start(grammar, data),
            State::Tail => {
                self.state = match data.get(..2) {
                    None => return Ok(Step::Wait),
                    Some(b"\r\n") => State::Headers,
                    Some(b"--") => State::Ended,
                    Some(_) => return Err(ReadError::BoundaryTail(excerpt(data))),
                };
                Ok(Step::On(2))
            }
            State::Headers => self.headers(data),
            State::Body { length } => self.body(grammar, data, length),
            State::Ended if data.len() > 2 || !b"\r\n".starts_with(data) => Err(ReadError::AfterEnd(excerpt(data))),
            State::Ended => Ok(Step::Wait),
        }
    }

    fn start<'a>(&mut self, grammar: &Grammar, data: &'a [u8]) -> Result<Step<'a>, ReadError> {
        if data.starts_with(b"\r\n") {
            return Ok(Step::On(2));
        }
        let due = grammar.bare();
        if data.starts_with(due) {
            self.state = State::Tail;
            return Ok(Step::On(due.len()));
        }
        if due.starts_with(data) || data == b"\r" {
            return Ok(Step::Wait);
        }
        let boundary = String::from_utf8_lossy(&due[2..]).into_owned();
        Err(ReadError::NoBoundary { boundary, found: excerpt(data) })
    }

    fn headers<'a>(&mut self, data: &'a [u8]) -> Result<Step<'a>, ReadError> {
        let (block, used) = if data.starts_with(b"\r\n") {
            (0, 2)
        } else if let Some(end) = memmem::find(data, b"\r\n\r\n") {
            (end, end + 4)
        } else if data.len() > MAX_HEADER_BYTES {
            return Err(ReadError::LongHeaders);
        } else {
            return Ok(Step::Wait);
        };
        if block > MAX_HEADER_BYTES {
            return Err(ReadError::LongHeaders);
        }
        let PartHead { length, .. } = PartHead::parse(&data[..block])?;
        let length = length.map(|bytes| u32::try_from(bytes).expect("MAX_PART_BYTES fits"));
        self.state = State::Body { length };
        Ok(Step::On(used))
    }

    fn body<'a>(&mut self, grammar: &Grammar, data: &'a [u8], length: Option<u32>) -> Result<Step<'a>, ReadError> {
        let (end, delimiter_bytes) = match length {
            Some(length) => {
                let length = length as usize;
                // The boundary behind a counted body is due at once; its line end may be missing.
                let rest = data.get(length..).unwrap_or_default();
                let delimiter =
                    if rest.is_empty() || rest[0] == b'\r' { &grammar.delimiter[..] } else { grammar.bare() };
                if !rest.starts_with(delimiter) {
                    return if delimiter.starts_with(rest) { Ok(Step::Wait) } else { Err(ReadError::Length(length)) };
                }
                (length, delimiter.len())
            }
            None => match grammar.find_delimiter.find(data) {
                Some(at) => (at, grammar.delimiter.len()),
                None if data.len() > MAX_PART_BYTES => return Err(ReadError::LongPart),
                None => return Ok(Step::Wait),
            },
        };
        if end == 0 {
            return Err(ReadError::EmptyPart);
        }
        self.state = State::Tail;
        Ok(Step::Part(&data[..end], end + delimiter_bytes))
    }
}

#[cfg(test)]
mod tests {
    use headcount_wire::PartReader;
    use proptest::prelude::*;

    use super::*;

    fn scan(bytes: &[u8], step: usize) -> (Vec<Vec<u8>>, Option<ReadError>, bool) {
        let (grammar, mut scanner, mut parts) = (Grammar::new("B"), Scanner::new(), Vec::new());
        for chunk in bytes.chunks(step) {
            let fed: Result<(), ReadError> = scanner.feed(&grammar, chunk, |part| {
                parts.push(part.to_vec());
                Ok(())
            });
            if let Err(error) = fed {
                return (parts, Some(error), false);
            }
        }
        (parts, None, scanner.ended())
    }

    fn read(bytes: &[u8], step: usize) -> (Vec<Vec<u8>>, Option<ReadError>, bool) {
        let (mut reader, mut parts) = (PartReader::new("B"), Vec::new());
        for chunk in bytes.chunks(step) {
            reader.push(chunk);
            loop {
                match reader.next_part() {
                    Ok(Some(part)) => parts.push(part.body.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (parts, Some(error), false),
                }
            }
        }
        (parts, None, reader.ended())
    }

    /// Pieces from which both whole streams and every kind of broken one arise.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => Just(b"\r\n--B\r\nContent-Type: image/png\r\n\r\n".to_vec()),
            4 => Just(b"an image".to_vec()),
            2 => Just(b"\r\n--B\r\nContent-Length: 8\r\n\r\n".to_vec()),
            1 => Just(b"\r\n--B--\r\n".to_vec()),
            1 => Just(b"\r\n--B".to_vec()),
            1 => Just(b"\r\n".to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..12),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_strict_reader(pieces in prop::collection::vec(piece(), 0..9), step in 1usize..60) {
            let bytes = pieces.concat();
            let (parts, error, ended) = scan(&bytes, step);
            let (due_parts, due_error, due_ended) = read(&bytes, step);
            prop_assert_eq!(parts, due_parts);
            // The excerpts in the messages may differ in length: only the kind is compared.
            prop_assert_eq!(error.map(|error| std::mem::discriminant(&error)),
                due_error.map(|error| std::mem::discriminant(&error)));
            prop_assert_eq!(ended, due_ended);
        }
    }

    #[test]
    fn an_idle_stream_holds_no_buffer() {
        let (grammar, mut scanner) = (Grammar::new("B"), Scanner::new());
        let mut parts = 0;
        let bytes = b"--B\r\n\r\nimage\r\n--B\r\nContent-Type: image/png\r\n\r\n";
        for chunk in bytes.chunks(11) {
            let fed: Result<(), ReadError> = scanner.feed(&grammar, chunk, |_| {
                parts += 1;
                Ok(())
            });
            fed.unwrap();
        }
        assert_eq!((parts, scanner.rest.capacity()), (1, 0));
        assert!(!scanner.inside_image());
    }
}
