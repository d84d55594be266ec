//! [`Parser`]: the grammar of a multipart stream as a state machine that owns no bytes.
//!
//! It accepts what RFC 2046 §5.1 allows and today's streamers write: parts with and without `Content-Length`, with
//! advance headers or without, for any boundary.

use memchr::memmem;

use crate::{
    delimiter::Delimiter,
    error::{MAX_HEADER_BYTES, MAX_PART_BYTES, ReadError, excerpt},
    head::part_length,
};

const LINE_END: &[u8] = b"\r\n";
/// Ends a part's headers.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// Parses a stream from bytes that its owner keeps. It is 24 bytes large and remembers how far it has searched, so
/// that bytes that arrive in small pieces are searched once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parser {
    state: State,
    /// No end of the current headers or body begins within this many unread bytes.
    searched: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Start,
    /// After a boundary: expects a line end or the closing dashes.
    BoundaryTail,
    Headers,
    Body {
        length: Option<usize>,
    },
    Ended,
}

/// What one step finds, and the bytes that it consumes.
type Step<'a> = Result<(Found<'a>, usize), ReadError>;

enum Found<'a> {
    /// A boundary, or a part's headers. More may follow.
    Head,
    /// A part's body, never empty.
    Part(&'a [u8]),
    /// The rest is incomplete, or the stream has ended.
    NeedMore,
}

impl Parser {
    /// A parser for a stream that begins with its first boundary.
    pub fn new() -> Self {
        Self::in_state(State::Start)
    }

    /// A parser for a stream that begins inside its first part, without a boundary and headers before it.
    pub fn inside_part() -> Self {
        Self::in_state(State::Body { length: None })
    }

    fn in_state(state: State) -> Self {
        Self { state, searched: 0 }
    }

    /// Whether the closing boundary has been parsed.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the next unread byte, if there is one, belongs to an image.
    pub fn in_body(&self) -> bool {
        matches!(self.state, State::Body { .. })
    }

    /// Returns the body of the next part in `unread`, never empty, or `None` if it is incomplete or the stream has ended; and
    /// how many bytes of `unread` that consumes.
    ///
    /// The next call must be given the bytes after the consumed ones, with any newly arrived bytes appended.
    ///
    /// # Errors
    /// Fails if the stream is invalid, which is its end.
    pub fn next<'a>(
        &mut self,
        delimiter: &Delimiter,
        unread: &'a [u8],
    ) -> Result<(Option<&'a [u8]>, usize), ReadError> {
        let mut consumed = 0;
        loop {
            let (found, used) = self.step(delimiter, &unread[consumed..])?;
            consumed += used;
            match found {
                Found::Head => {}
                Found::Part(body) => return Ok((Some(body), consumed)),
                Found::NeedMore => return Ok((None, consumed)),
            }
        }
    }

    fn step<'a>(&mut self, delimiter: &Delimiter, unread: &'a [u8]) -> Step<'a> {
        match self.state {
            State::Start => self.start(delimiter, unread),
            State::BoundaryTail => self.boundary_tail(unread),
            State::Headers => self.headers(unread),
            State::Body { length: Some(length) } => self.counted_body(delimiter, unread, length),
            State::Body { length: None } => self.delimited_body(delimiter, unread),
            // RFC 2046 lets a line end follow the closing boundary.
            State::Ended if LINE_END.starts_with(unread) => Ok((Found::NeedMore, 0)),
            State::Ended => Err(ReadError::AfterEnd(excerpt(unread))),
        }
    }

    fn start<'a>(&mut self, delimiter: &Delimiter, unread: &'a [u8]) -> Step<'a> {
        let expected = delimiter.without_line_end();
        if unread.starts_with(LINE_END) {
            Ok((Found::Head, LINE_END.len()))
        } else if unread.starts_with(expected) {
            *self = Self::in_state(State::BoundaryTail);
            Ok((Found::Head, expected.len()))
        } else if expected.starts_with(unread) || LINE_END.starts_with(unread) {
            Ok((Found::NeedMore, 0))
        } else {
            let boundary = String::from_utf8_lossy(delimiter.boundary()).into_owned();
            Err(ReadError::NoBoundary { boundary, found: excerpt(unread) })
        }
    }

    fn boundary_tail<'a>(&mut self, unread: &'a [u8]) -> Step<'a> {
        let Some(tail) = unread.get(..2) else { return Ok((Found::NeedMore, 0)) };
        *self = Self::in_state(match tail {
            LINE_END => State::Headers,
            b"--" => State::Ended,
            _ => return Err(ReadError::BoundaryTail(excerpt(unread))),
        });
        Ok((Found::Head, tail.len()))
    }

    fn headers<'a>(&mut self, unread: &'a [u8]) -> Step<'a> {
        // Without any headers, the blank line comes at once.
        let (header_bytes, consumed) = if unread.starts_with(LINE_END) {
            (0, LINE_END.len())
        } else if let Some(at) = memmem::find(&unread[self.searched..], BLANK_LINE) {
            (self.searched + at, self.searched + at + BLANK_LINE.len())
        } else if unread.len() > MAX_HEADER_BYTES {
            return Err(ReadError::LongHeaders);
        } else {
            self.searched = unread.len().saturating_sub(BLANK_LINE.len() - 1);
            return Ok((Found::NeedMore, 0));
        };
        if header_bytes > MAX_HEADER_BYTES {
            return Err(ReadError::LongHeaders);
        }
        *self = Self::in_state(State::Body { length: part_length(&unread[..header_bytes])? });
        Ok((Found::Head, consumed))
    }

    /// Parses the body of a part that states its length.
    fn counted_body<'a>(&mut self, delimiter: &Delimiter, unread: &'a [u8], length: usize) -> Step<'a> {
        let Some((body, rest)) = unread.split_at_checked(length) else { return Ok((Found::NeedMore, 0)) };
        // The delimiter follows at once; some streamers leave out its line end.
        let expected = if rest.first().is_none_or(|&byte| byte == b'\r') {
            delimiter.bytes()
        } else {
            delimiter.without_line_end()
        };
        if rest.starts_with(expected) {
            self.part(body, expected.len())
        } else if expected.starts_with(rest) {
            Ok((Found::NeedMore, 0))
        } else {
            Err(ReadError::Length(length))
        }
    }

    /// Parses the body of a part that only the next delimiter ends.
    fn delimited_body<'a>(&mut self, delimiter: &Delimiter, unread: &'a [u8]) -> Step<'a> {
        let delimiter_bytes = delimiter.bytes().len();
        match delimiter.find(&unread[self.searched..]) {
            Some(at) => self.part(&unread[..self.searched + at], delimiter_bytes),
            None if unread.len() > MAX_PART_BYTES => Err(ReadError::LongPart),
            None => {
                self.searched = unread.len().saturating_sub(delimiter_bytes - 1);
                Ok((Found::NeedMore, 0))
            }
        }
    }

    fn part<'a>(&mut self, body: &'a [u8], delimiter_bytes: usize) -> Step<'a> {
        if body.is_empty() {
            return Err(ReadError::EmptyPart);
        }
        *self = Self::in_state(State::BoundaryTail);
        Ok((Found::Part(body), body.len() + delimiter_bytes))
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}
