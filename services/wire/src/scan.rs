//! [`PartScanner`]: reads a stream without keeping its parts, for programs that hold very many streams.

use crate::{delimiter::Delimiter, error::ReadError, parse::Parser};

/// Reads one stream and lends out each part's body. It keeps bytes only while a part or its headers are incomplete;
/// between two frames it holds no buffer. It is 48 bytes large.
#[derive(Debug, Default)]
pub struct PartScanner {
    parser: Parser,
    /// The bytes of an incomplete part; without capacity if there are none.
    unread: Vec<u8>,
}

impl PartScanner {
    /// A scanner for a stream that begins with its first boundary.
    pub fn new() -> Self {
        Self::default()
    }

    /// A scanner for a stream that begins inside its first part, without a boundary and headers before it.
    pub fn inside_part() -> Self {
        Self { parser: Parser::inside_part(), unread: Vec::new() }
    }

    /// Whether the closing boundary has been read.
    pub fn ended(&self) -> bool {
        self.parser.ended()
    }

    /// Whether the bytes so far stop inside an image. Advance headers whose image has not begun do not count.
    pub fn inside_image(&self) -> bool {
        self.parser.in_body() && !self.unread.is_empty()
    }

    /// Reads `bytes`, and calls `on_part` with the body of each part that they complete. Every call for one stream
    /// needs the same delimiter.
    ///
    /// # Errors
    /// Fails if the stream is invalid, or with the first error of `on_part`. The stream cannot be read any further.
    pub fn push<E: From<ReadError>>(
        &mut self,
        delimiter: &Delimiter,
        bytes: &[u8],
        mut on_part: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.unread.is_empty() {
            let consumed = Self::parse(&mut self.parser, delimiter, bytes, &mut on_part)?;
            // Allocates nothing if no bytes are left.
            self.unread = bytes[consumed..].to_vec();
            return Ok(());
        }
        self.unread.extend_from_slice(bytes);
        let consumed = Self::parse(&mut self.parser, delimiter, &self.unread, &mut on_part)?;
        if consumed == self.unread.len() {
            self.unread = Vec::new();
        } else {
            self.unread.drain(..consumed);
        }
        Ok(())
    }

    /// Parses `unread` as far as it is complete, and returns how many bytes that consumes.
    fn parse<E: From<ReadError>>(
        parser: &mut Parser,
        delimiter: &Delimiter,
        unread: &[u8],
        on_part: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut consumed = 0;
        loop {
            let (part, used) = parser.next(delimiter, &unread[consumed..])?;
            consumed += used;
            match part {
                Some(body) => on_part(body)?,
                None => return Ok(consumed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Outcome = (Vec<Vec<u8>>, Option<ReadError>, bool);

    fn scan(bytes: &[u8], chunk_bytes: usize) -> Outcome {
        let (delimiter, mut scanner, mut parts) = (Delimiter::new("B"), PartScanner::new(), Vec::new());
        for chunk in bytes.chunks(chunk_bytes) {
            let pushed: Result<(), ReadError> = scanner.push(&delimiter, chunk, |part| {
                parts.push(part.to_vec());
                Ok(())
            });
            if let Err(error) = pushed {
                return (parts, Some(error), false);
            }
        }
        (parts, None, scanner.ended())
    }

    /// Pieces that combine to valid streams and to every kind of invalid one.
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
        fn the_chunks_do_not_matter(pieces in prop::collection::vec(piece(), 0..9), chunk_bytes in 1usize..60) {
            let bytes = pieces.concat();
            let kind = |outcome: Outcome| {
                // The excerpts in the messages depend on how many bytes had come.
                (outcome.0, outcome.1.map(|error| std::mem::discriminant(&error)), outcome.2)
            };
            prop_assert_eq!(kind(scan(&bytes, chunk_bytes)), kind(scan(&bytes, usize::MAX)));
        }
    }

    #[test]
    fn an_idle_stream_holds_no_buffer() {
        let (delimiter, mut scanner) = (Delimiter::new("B"), PartScanner::new());
        let mut parts = 0;
        let bytes = b"--B\r\n\r\nimage\r\n--B\r\nContent-Type: image/png\r\n\r\n";
        for chunk in bytes.chunks(11) {
            let pushed: Result<(), ReadError> = scanner.push(&delimiter, chunk, |_| {
                parts += 1;
                Ok(())
            });
            pushed.expect("a valid stream");
        }
        assert_eq!((parts, scanner.unread.capacity()), (1, 0));
        assert!(!scanner.inside_image());
        assert_eq!((size_of::<Parser>(), size_of::<PartScanner>()), (24, 48));
    }
}
