//! Parses the head of a response, and the chunks of an HTTP/1.1 body.

/// Longest response head accepted.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Why a response is not an image stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The head is not HTTP/1.x.
    #[error("the response begins with {0:?}, which is not HTTP/1")]
    NotHttp(String),
    /// The head does not end.
    #[error("the response's head is longer than {MAX_HEAD_BYTES} bytes")]
    LongHead,
    /// The answer is a refusal.
    #[error("refused with status {0}")]
    Status(u16),
    /// The answer is something else than a multipart stream.
    #[error("the answer is {0:?}, not multipart/x-mixed-replace with a boundary")]
    ContentType(String),
    /// A chunk's length is missing or malformed.
    #[error("a chunk of the body is malformed: {0:?}")]
    Chunk(String),
}

/// The fields of a head that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: &'a str,
    pub(crate) chunked: bool,
    /// Bytes of the head, its blank line included.
    pub(crate) bytes: usize,
}

/// Reads the head at the beginning of `data`; `None` until it is complete.
pub(crate) fn head(data: &[u8]) -> Result<Option<Head<'_>>, ResponseError> {
    if !b"HTTP/1.".starts_with(&data[..data.len().min(7)]) {
        return Err(ResponseError::NotHttp(String::from_utf8_lossy(&data[..data.len().min(40)]).into_owned()));
    }
    let Some(end) = memchr::memmem::find(data, b"\r\n\r\n") else {
        return if data.len() > MAX_HEAD_BYTES { Err(ResponseError::LongHead) } else { Ok(None) };
    };
    let text = std::str::from_utf8(&data[..end]).map_err(|_| ResponseError::NotHttp("no UTF-8".into()))?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| ResponseError::NotHttp(line.into()))?;
    let (mut content_type, mut chunked) = ("", false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-type") {
            content_type = value.trim();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    Ok(Some(Head { status, content_type, chunked, bytes: end + 4 }))
}

/// The state of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// In a chunk's length line, with the value so far and whether it has a digit yet.
    Length { value: u32, begun: Begun },
    /// In a chunk's extension: skipped to the line end.
    Extension { value: u32 },
    /// Within a chunk: this many of its bytes, then its line end, follow.
    Data { left: u32 },
    /// In the line end behind a chunk.
    LineEnd,
    /// Behind the last chunk.
    Ended,
}

/// Whether a chunk's length line has a digit yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Yes,
    No,
}

impl Chunks {
    pub(crate) const START: Self = Self::Length { value: 0, begun: Begun::No };

    /// Takes the next run of payload off the front of `data`, empty where `data` is used up.
    pub(crate) fn payload<'a>(&mut self, data: &mut &'a [u8]) -> Result<&'a [u8], ResponseError> {
        loop {
            let Some(&byte) = data.first() else { return Ok(&[]) };
            let malformed = || ResponseError::Chunk(String::from_utf8_lossy(&data[..data.len().min(20)]).into_owned());
            match *self {
                Self::Data { left } => {
                    let run = (left as usize).min(data.len());
                    let (payload, rest) = data.split_at(run);
                    let left = left - u32::try_from(run).expect("no more than a u32 was left");
                    *self = if left == 0 { Self::LineEnd } else { Self::Data { left } };
                    *data = rest;
                    return Ok(payload);
                }
                Self::Length { value, begun } => match (char::from(byte).to_digit(16), byte) {
                    (Some(digit), _) if value < 1 << 24 => {
                        *self = Self::Length { value: value * 16 + digit, begun: Begun::Yes };
                    }
                    (None, b'\r' | b';' | b' ') if begun == Begun::Yes => *self = Self::Extension { value },
                    _ => return Err(malformed()),
                },
                Self::Extension { value } => {
                    if byte == b'\n' {
                        *self = if value == 0 { Self::Ended } else { Self::Data { left: value } };
                    }
                }
                Self::LineEnd => match byte {
                    b'\r' => {}
                    b'\n' => *self = Self::START,
                    _ => return Err(malformed()),
                },
                // Trailers and the last line end are skipped.
                Self::Ended => {}
            }
            *data = &data[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_parsed_once_it_is_complete() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-type: multipart/x-mixed-replace; boundary=B\r\n\r\n--B";
        for cut in 0..bytes.len() - 3 {
            assert_eq!(head(&bytes[..cut]), Ok(None), "{cut}");
        }
        let head = head(bytes).unwrap().unwrap();
        assert_eq!((head.status, head.chunked, head.bytes), (200, false, bytes.len() - 3));
        assert_eq!(head.content_type, "multipart/x-mixed-replace; boundary=B");
    }

    #[test]
    fn other_protocols_are_rejected() {
        assert!(matches!(head(b"SSH-2.0"), Err(ResponseError::NotHttp(_))));
        assert!(matches!(head(b"HTTP/1.1 nonsense\r\n\r\n"), Err(ResponseError::NotHttp(_))));
    }

    #[test]
    fn chunks_are_parsed_from_pieces_of_any_size() {
        let bytes = b"5\r\nhello\r\nB;x=y\r\n to anybody\r\n0\r\n\r\n";
        for step in 1..bytes.len() {
            let (mut chunks, mut payload) = (Chunks::START, Vec::new());
            for mut piece in bytes.chunks(step) {
                while !piece.is_empty() {
                    payload.extend_from_slice(chunks.payload(&mut piece).unwrap());
                }
            }
            assert_eq!((payload.as_slice(), chunks), (&b"hello to anybody"[..], Chunks::Ended), "{step}");
        }
        for broken in [&b"zz\r\n"[..], b"\r\n"] {
            let (mut chunks, mut rest) = (Chunks::START, broken);
            assert!(chunks.payload(&mut rest).is_err());
        }
    }
}
