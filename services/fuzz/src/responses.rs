//! What a node sent on a connection, taken apart by the letter: anything that is not well-formed panics.

use crate::node::ConnectionEnd;

/// The answers on one connection.
#[derive(Debug)]
pub(crate) struct Responses {
    /// The status of each that is whole.
    pub(crate) whole: Vec<u16>,
    /// What is behind them.
    pub(crate) rest: Remainder,
}

/// What is behind the answers that are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remainder {
    /// Nothing.
    Nothing,
    /// The beginning of one.
    Incomplete,
    /// A live stream.
    Stream,
}

/// How an answer begins.
const ANSWER: &[u8] = b"HTTP/1.";

/// Takes HTTP/1 answers apart.
pub(crate) fn read(mut bytes: &[u8]) -> Responses {
    let mut answers = Responses { whole: Vec::new(), rest: Remainder::Nothing };
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            answers.rest = Remainder::Incomplete;
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
                "transfer-encoding" => panic!("no answer over HTTP/1 needs it: {head:?}"),
                _ => {}
            }
        }
        bytes = &bytes[end + 4..];
        // Of a HEAD nothing follows but the next answer, or what has come of it; no body of ours begins like one.
        let has_body = !bytes.iter().zip(ANSWER).all(|(byte, due)| byte == due);
        if is_stream && has_body {
            answers.rest = Remainder::Stream;
            break;
        }
        let length = length.unwrap_or(0);
        let has_body = has_body && !matches!(status, 100..=199 | 204 | 304);
        if has_body && bytes.len() < length {
            answers.rest = Remainder::Incomplete;
            break;
        }
        if has_body && status >= 400 {
            let sentence = std::str::from_utf8(&bytes[..length]).expect("a sentence");
            // Of a wrong option the counter's page tells in its form.
            let is_said = sentence.ends_with(".\n") && sentence.lines().count() == 1;
            assert!(is_said || sentence.starts_with("<!doctype html>"), "{status}: {sentence:?}");
        }
        bytes = &bytes[if has_body { length } else { 0 }..];
        answers.whole.push(status);
    }
    answers
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

/// Sees that HTTP/2 answers are whole frames, none of them larger than a client must take.
pub(crate) fn frames(mut bytes: &[u8], ended: ConnectionEnd) {
    while !bytes.is_empty() {
        let length = match bytes {
            [a, b, c, ..] => usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
            _ => usize::MAX - 9,
        };
        if bytes.len() < length + 9 {
            assert_eq!(ended, ConnectionEnd::Reset, "half a frame");
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
    fn the_head_of_a_stream_is_no_stream() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: multipart/x-mixed-replace; boundary=headcount\r\n\r\n";
        let two = [&head[..], b"HTTP/1.1 404 Not Found\r\n\r\n"].concat();
        for cut in head.len()..two.len() {
            let rest = if cut == head.len() { Remainder::Nothing } else { Remainder::Incomplete };
            let answers = read(&two[..cut]);
            assert_eq!((answers.whole, answers.rest), (vec![200], rest), "{cut}");
        }
        let stream = read(&[&head[..], b"-"].concat());
        assert_eq!(stream.rest, Remainder::Stream);
    }
}
