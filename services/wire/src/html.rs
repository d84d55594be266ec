//! An HTML document that does not end: real text, for an `<iframe loading="lazy">`. Written, and read.
//!
//! Each update is an element of its own behind the others, and rules that show it alone, by a custom property that [`STYLE`]
//! reads. All rules have the same specificity, none, so that the last one decides, and a viewer may miss any update but the
//! newest, or get one twice: then the first is shown. Rules that depend on the end of their parent (`:last-child`) are no way:
//! browsers apply them only when the document has ended.
//!
//! A document begins with a `refresh`, whose time runs from its end: so it comes back by itself, without JavaScript.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::memmem;

use crate::write::SNIFF_BYTES;

/// The response's `Content-Type`.
pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";

/// Keeps a quiet document alive: an empty comment.
pub const KEEPALIVE: &[u8] = b"<!---->";

/// Longest update accepted, in bytes. Ours have 150 at most.
pub const MAX_UPDATE_BYTES: usize = 64 << 10;

/// What a document's styles must contain: it shows the newest update alone.
pub const STYLE: &str = "b{display:none;display:var(--d)}";

/// What each update begins with, before its number.
const UPDATE: &str = "<b id=n";
/// The base of the numbers in ids.
const BASE: u64 = 36;
/// What ends the text of an update.
const TEXT_END: &[u8] = b"</b>";
/// What follows the text of a number that is not live, for those who cannot see the line through it.
const STALE: &str = "<i> (not up to date)</i>";

/// Returns the document's first bytes, up to the element that updates are appended to. That is a `p`, or within one. They are
/// padded, because browsers wait for about a kilobyte before they show a document.
pub fn opening(start: &str) -> Bytes {
    let padding = SNIFF_BYTES.saturating_sub(start.len() + KEEPALIVE.len());
    format!("{start}<!--{}-->", ".".repeat(padding)).into()
}

/// Whether a number is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It is.
    Live,
    /// Nothing has confirmed it for a while, or its stream has ended.
    Stale,
}

/// Returns an update. `number` is greater than that of each update before it, in all documents that get it; `text` needs no
/// escaping but of `<`; `variables` are declarations of custom properties that the styles of the document's `p` use, as they use
/// `--s`: 1 for a number that is not live.
pub fn update(number: u64, text: &str, liveness: Liveness, variables: &str) -> String {
    let text = text.replace('<', "&lt;");
    let (aside, stale) = match liveness {
        Liveness::Live => ("", 0),
        Liveness::Stale => (STALE, 1),
    };
    let id = id(number);
    format!(
        "{UPDATE}{id}>{text}{aside}</b><style>*{{--d:none}}:where(#n{id}:not(#n{id}~b)){{--d:flex}}p{{--s:{stale}{variables}}}</style>"
    )
}

/// The number in the shortest form that an id may have behind a letter: to the base of 36.
fn id(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((number % BASE) as u32, BASE as u32).expect("a digit is below the base"));
        number /= BASE;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

/// Returns the number of an update.
pub fn update_number(update: &[u8]) -> Option<u64> {
    let digits = update.strip_prefix(UPDATE.as_bytes())?.split(|&byte| byte == b'>').next()?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, BASE as u32).ok()
}

/// An update that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The text, as it is shown.
    pub text: String,
    /// Whether it is live.
    pub liveness: Liveness,
}

/// An update is longer than [`MAX_UPDATE_BYTES`]. Nothing more can be read from the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an update is longer than {MAX_UPDATE_BYTES} bytes")]
pub struct LongUpdate;

/// Reads the updates of one document of this form.
#[derive(Debug, Default)]
pub struct UpdateReader {
    unread: Vec<u8>,
    updates: VecDeque<Update>,
}

impl UpdateReader {
    /// A reader for a document from its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads bytes of the body in the order in which they arrived.
    ///
    /// # Errors
    /// Fails if an update is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LongUpdate> {
        self.unread.extend_from_slice(bytes);
        loop {
            let Some(begin) = memmem::find(&self.unread, UPDATE.as_bytes()) else {
                // The beginning of an update may be among the last bytes.
                let kept = self.unread.len().min(UPDATE.len() - 1);
                self.unread.drain(..self.unread.len() - kept);
                return Ok(());
            };
            self.unread.drain(..begin);
            let Some(end) = memmem::find(&self.unread, TEXT_END) else {
                return if self.unread.len() > MAX_UPDATE_BYTES { Err(LongUpdate) } else { Ok(()) };
            };
            let update = String::from_utf8_lossy(&self.unread[..end]).into_owned();
            self.unread.drain(..end + TEXT_END.len());
            if let Some((_, text)) = update.split_once('>') {
                let live = text.strip_suffix(STALE);
                let liveness = if live.is_some() { Liveness::Stale } else { Liveness::Live };
                let text = live.unwrap_or(text).replace("&lt;", "<");
                self.updates.push_back(Update { text, liveness });
            }
        }
    }

    /// Returns the next whole update.
    pub fn next_update(&mut self) -> Option<Update> {
        self.updates.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], chunk: usize) -> Vec<Update> {
        let mut reader = UpdateReader::new();
        for chunk in bytes.chunks(chunk) {
            reader.push(chunk).expect("short updates");
        }
        std::iter::from_fn(|| reader.next_update()).collect()
    }

    #[test]
    fn an_opening_is_long_enough_to_be_shown() {
        for start in ["", "<!doctype html>", &".".repeat(5000)] {
            let opening = opening(start);
            assert!(opening.len() >= SNIFF_BYTES && opening.starts_with(start.as_bytes()), "{}", opening.len());
        }
        assert_eq!(opening("<p>").len(), SNIFF_BYTES);
    }

    #[test]
    fn an_update_shows_itself_alone_and_is_short() {
        let live = update(41, "<5", Liveness::Live, "");
        assert_eq!(live, "<b id=n15>&lt;5</b><style>*{--d:none}:where(#n15:not(#n15~b)){--d:flex}p{--s:0}</style>");
        assert_eq!(update_number(live.as_bytes()), Some(41));
        for number in [0, 1, 35, 36, 1000, u64::MAX] {
            assert_eq!(update_number(update(number, "1", Liveness::Live, "").as_bytes()), Some(number));
        }
        assert_eq!(update_number(b"<b id=n>"), None);
    }

    proptest! {
        #[test]
        fn written_updates_are_read_in_chunks_of_any_size(
            written in prop::collection::vec(("[0-9,.k<]{1,9}", any::<bool>()), 0..6), chunk in 1usize..60,
        ) {
            let mut document = opening("<!doctype html><main>").to_vec();
            let mut expected = Vec::new();
            for (number, (text, stale)) in (1..).zip(written) {
                let liveness = if stale { Liveness::Stale } else { Liveness::Live };
                document.extend_from_slice(KEEPALIVE);
                document.extend_from_slice(update(number, &text, liveness, ";--k:5").as_bytes());
                expected.push(Update { text, liveness });
            }
            prop_assert_eq!(read(&document, chunk), expected);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), chunk in 1usize..50) {
            let _ = read(&bytes, chunk);
        }
    }
}
