//! Server-sent events (`text/event-stream`), as the HTML standard has them: written, and read.
//!
//! A client connects again by itself, after the time that the last `retry:` says, whenever the stream ends; but never after a
//! status other than 200.

use std::collections::VecDeque;
use std::time::Duration;

/// The response's `Content-Type`. The standard knows no other encoding than UTF-8.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// Keeps a quiet stream alive: an empty comment.
pub const KEEPALIVE: &[u8] = b":\n\n";

/// Longest event accepted, in bytes. Ours are below 300.
pub const MAX_EVENT_BYTES: usize = 64 << 10;

/// Returns the line that tells a client how long to wait before it connects again. It is the first of the event or comment that
/// follows: some clients read it nowhere else.
pub fn retry(time: Duration) -> String {
    format!("retry: {}\n", time.as_millis())
}

/// Returns an event. `id` and `data` have no line ends.
pub fn event(id: &str, data: &str) -> String {
    debug_assert!(!id.contains(['\r', '\n', '\0']) && !data.contains(['\r', '\n']), "one line each");
    format!("id: {id}\ndata: {data}\n\n")
}

/// Returns a comment, which programs ignore. `text` has no line ends.
pub fn comment(text: &str) -> String {
    debug_assert!(!text.contains(['\r', '\n']), "one line");
    format!(": {text}\n\n")
}

/// An event that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The last id that the stream has set; empty if none.
    pub id: String,
    /// The data. Several lines of it are joined by line feeds.
    pub data: String,
}

/// An event is longer than [`MAX_EVENT_BYTES`]. Nothing more can be read from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT_BYTES} bytes")]
pub struct LongEvent;

/// Reads one stream of events.
#[derive(Debug, Default)]
pub struct EventReader {
    /// A line that is not complete.
    line: Vec<u8>,
    /// The line before ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    id: String,
    data: Option<String>,
    events: VecDeque<Event>,
    retry: Option<Duration>,
    bytes: usize,
}

impl EventReader {
    /// A reader for a stream from its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads bytes of the body in the order in which they arrived.
    ///
    /// # Errors
    /// Fails if an event is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LongEvent> {
        for &byte in bytes {
            let is_rest_of_line_end = std::mem::take(&mut self.after_return) && byte == b'\n';
            match byte {
                _ if is_rest_of_line_end => {}
                b'\r' | b'\n' => {
                    self.after_return = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.read_line(&String::from_utf8_lossy(&line));
                }
                _ if self.bytes >= MAX_EVENT_BYTES => return Err(LongEvent),
                _ => {
                    self.bytes += 1;
                    self.line.push(byte);
                }
            }
        }
        Ok(())
    }

    /// Returns the next whole event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How long to wait before connecting again, as the stream has said last.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn read_line(&mut self, line: &str) {
        if line.is_empty() {
            self.bytes = 0;
            if let Some(data) = self.data.take() {
                self.events.push_back(Event { id: self.id.clone(), data });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field.trim_start_matches('\u{feff}') {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis);
            }
            // Comments have an empty field; others are unknown.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], chunk: usize) -> (Vec<Event>, Option<Duration>) {
        let mut reader = EventReader::new();
        let mut events = Vec::new();
        for chunk in bytes.chunks(chunk) {
            reader.push(chunk).expect("short events");
            events.extend(std::iter::from_fn(|| reader.next_event()));
        }
        (events, reader.retry())
    }

    proptest! {
        #[test]
        fn written_events_are_read_in_chunks_of_any_size(
            written in prop::collection::vec(("[ -~]{0,20}", "[ -~é]{0,40}"), 0..6), chunk in 1usize..40,
        ) {
            let mut stream = retry(Duration::from_millis(1234)).into_bytes();
            for (id, data) in &written {
                stream.extend_from_slice(KEEPALIVE);
                stream.extend_from_slice(comment("hello").as_bytes());
                stream.extend_from_slice(event(id, data).as_bytes());
            }
            let (events, retry) = read(&stream, chunk);
            let expected: Vec<_> = written.into_iter().map(|(id, data)| Event { id, data }).collect();
            prop_assert_eq!((events, retry), (expected, Some(Duration::from_millis(1234))));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), chunk in 1usize..50) {
            let _ = read(&bytes, chunk);
        }
    }

    #[test]
    fn the_standards_examples_are_read() {
        let data = |bytes: &[u8]| read(bytes, 3).0.into_iter().map(|event| event.data).collect::<Vec<_>>();
        assert_eq!(data(b"data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
        assert_eq!(data(b"data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
        assert_eq!(data(b"data:test\r\n\r\ndata: test\r\r"), ["test", "test"]);
        assert_eq!(read(b"id: 1\ndata: a\n\nid\ndata: b\n\n", 1).0[1].id, "");
    }

    #[test]
    fn an_event_without_an_end_is_an_error() {
        let mut reader = EventReader::new();
        assert_eq!(reader.push(&vec![b'x'; MAX_EVENT_BYTES + 1]), Err(LongEvent));
    }
}
