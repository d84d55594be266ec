//! Strict parsers of what a node sent on a connection. They panic at anything that is malformed.

/// What a node sent on a connection.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: ConnectionEnd,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// The node closed it.
    Closed,
    /// The node reset it because bytes were left unread. Bytes that it sent may be lost.
    Reset,
    /// A stream began, and this side closed the connection.
    LeftStream,
}

/// The HTTP/1 responses on one connection.
#[derive(Debug)]
pub(crate) struct Responses {
    /// The status of each complete response.
    pub(crate) statuses: Vec<u16>,
    /// What follows them.
    pub(crate) remainder: Remainder,
}

/// What follows the complete responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remainder {
    /// Nothing.
    Nothing,
    /// An incomplete response.
    Incomplete,
    /// A stream.
    Stream,
}

/// First bytes of a response.
const RESPONSE_PREFIX: &[u8] = b"HTTP/1.";

/// Parses HTTP/1 responses.
pub(crate) fn read(mut bytes: &[u8]) -> Responses {
    let mut responses = Responses { statuses: Vec::new(), remainder: Remainder::Nothing };
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            responses.remainder = Remainder::Incomplete;
            break;
        };
        let head = std::str::from_utf8(&bytes[..end]).expect("a head in ASCII");
        let mut lines = head.split("\r\n");
        let status = status(lines.next().expect("a first line"));
        let (mut length, mut is_stream) = (None, false);
        for (name, value) in lines.map(header) {
            match &*name.to_ascii_lowercase() {
                "content-length" => {
                    assert!(length.is_none(), "two lengths in {head:?}");
                    length = Some(value.parse::<usize>().expect("a length"));
                }
                "content-type" if value.starts_with("multipart/x-mixed-replace") => {
                    assert_eq!(status, 200, "{head:?}");
                    is_stream = true;
                }
                "set-cookie" | "server" | "x-powered-by" | "via" => panic!("{head:?}"),
                "transfer-encoding" => panic!("no HTTP/1 response needs it: {head:?}"),
                _ => {}
            }
        }
        bytes = &bytes[end + 4..];
        // The response to HEAD has no body: the next response follows, or its first bytes. No body begins like a response.
        let has_body = !bytes.iter().zip(RESPONSE_PREFIX).all(|(byte, expected)| byte == expected);
        if is_stream && has_body {
            responses.remainder = Remainder::Stream;
            break;
        }
        let length = length.unwrap_or(0);
        let has_body = has_body && !matches!(status, 100..=199 | 204 | 304);
        if has_body && bytes.len() < length {
            responses.remainder = Remainder::Incomplete;
            break;
        }
        if has_body && status >= 400 {
            let sentence = std::str::from_utf8(&bytes[..length]).expect("a sentence");
            // The counter's page reports a wrong option within the page.
            let is_sentence = sentence.ends_with(".\n") && sentence.lines().count() == 1;
            assert!(is_sentence || sentence.starts_with("<!doctype html>"), "{status}: {sentence:?}");
        }
        bytes = &bytes[if has_body { length } else { 0 }..];
        responses.statuses.push(status);
    }
    responses
}

fn status(line: &str) -> u16 {
    let (version, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
    assert!(matches!(version, "HTTP/1.0" | "HTTP/1.1"), "{line:?}");
    let (status, reason) = rest.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
    assert!(status.len() == 3 && reason.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{line:?}");
    status.parse().unwrap_or_else(|_| panic!("{line:?}"))
}

fn header(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    assert!(!name.is_empty() && name.bytes().all(is_token), "{line:?}");
    assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{line:?}");
    (name, value)
}

/// Checks that bytes are complete HTTP/2 frames of at most 16,384 bytes, which every client accepts (RFC 9113 §4.2).
pub(crate) fn check_http2_frames(mut bytes: &[u8], end: ConnectionEnd) {
    while !bytes.is_empty() {
        let length = match bytes {
            [a, b, c, ..] => usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
            _ => usize::MAX - 9,
        };
        if bytes.len() < length + 9 {
            assert_eq!(end, ConnectionEnd::Reset, "an incomplete frame");
            return;
        }
        assert!(length <= 16_384, "a frame of {length} bytes");
        bytes = &bytes[9 + length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_its_body_is_not_a_stream() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: multipart/x-mixed-replace; boundary=headcount\r\n\r\n";
        let two = [&head[..], b"HTTP/1.1 404 Not Found\r\n\r\n"].concat();
        for cut in head.len()..two.len() {
            let remainder = if cut == head.len() { Remainder::Nothing } else { Remainder::Incomplete };
            let responses = read(&two[..cut]);
            assert_eq!((responses.statuses, responses.remainder), (vec![200], remainder), "{cut}");
        }
        let stream = read(&[&head[..], b"-"].concat());
        assert_eq!(stream.remainder, Remainder::Stream);
    }
}
