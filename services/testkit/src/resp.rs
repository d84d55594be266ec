//! Finds the messages of Redis's protocol in the bytes that pass through a proxy.

use std::io::{self, Read};

use redis::{Parser, Value};

/// The message at the beginning of `data` and its length in bytes; `None` until it is complete.
///
/// # Errors
/// If the bytes are not RESP.
pub(crate) fn message(data: &[u8]) -> io::Result<Option<(Value, usize)>> {
    let mut lines = Lines(data);
    match Parser::new().parse_value(&mut lines) {
        Ok(value) => Ok(Some((value, data.len() - lines.0.len()))),
        // The only error of reading from memory is its end.
        Err(error) if error.is_io_error() => Ok(None),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// Yields at most one line per read. Every message ends with a line end, so the parser never reads past the message.
struct Lines<'a>(&'a [u8]);

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = memchr::memchr(b'\n', self.0).map_or(self.0.len(), |at| at + 1);
        let (line, rest) = self.0.split_at(line.min(buffer.len()));
        buffer[..line.len()].copy_from_slice(line);
        self.0 = rest;
        Ok(line.len())
    }
}
