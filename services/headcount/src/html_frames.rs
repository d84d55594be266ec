//! [`HtmlFrames`]: the frames of documents that show one of a counter's numbers as text.

use headcount_drawing::{Count, Figure, Look, Style};
use headcount_engine::Frame;
use headcount_presence::Reading;
use headcount_wire::html::{self, Liveness};

use crate::feed_pictures::figure;

/// The custom properties of an odometer's drums, the last drum first: as many digits as it can have. `n` is how many it has,
/// `s` and `t` say how the number is shown.
pub(crate) const DRUMS: [char; 12] = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'm'];

/// The frames of documents whose numbers are written alike.
pub(crate) struct HtmlFrames {
    look: Look,
    /// Below this count, numbers are hidden.
    small: u64,
    /// The number of the newest update.
    update: u64,
    /// What the newest update shows. `None` if a former program has sent it.
    shown: Option<Figure>,
}

impl HtmlFrames {
    /// Begins with the frame of a reading. `former` is the newest update of a former program, if its documents go on.
    pub(crate) fn begin(look: Look, small: u64, reading: &Reading, former: Option<&[u8]>) -> (Self, Frame) {
        let update = former.and_then(html::update_number).unwrap_or(0);
        let mut frames = Self { look, small, update, shown: None };
        let frame = frames.frame(reading);
        (frames, frame)
    }

    /// Whether the newest update shows something else than one of this reading would.
    pub(crate) fn are_outdated_by(&self, reading: &Reading) -> bool {
        let figure = figure(&self.look, reading, self.small);
        self.shown.is_none_or(|shown| figure.stale != shown.stale || self.look.text(&figure) != self.look.text(&shown))
    }

    /// The frame of a reading. Streams end with the same number, struck out.
    pub(crate) fn frame(&mut self, reading: &Reading) -> Frame {
        let figure = figure(&self.look, reading, self.small);
        self.update += 1;
        self.shown = Some(figure);
        let liveness = if figure.stale { Liveness::Stale } else { Liveness::Live };
        let (text, drums) = (self.look.spoken(&figure), drums(&self.look, &figure));
        let update = |number, liveness| html::update(number, &text, liveness, &drums);
        Frame::new(update(self.update, liveness))
            .with_keepalive(html::KEEPALIVE)
            .with_ending(update(self.update + 1, Liveness::Stale))
    }
}

/// Declares which digits an odometer's drums show, and how many drums there are. Where the number has more than digits, the
/// text is shown in their place (`--t`).
fn drums(look: &Look, figure: &Figure) -> String {
    if look.style() != Style::Odometer {
        return String::new();
    }
    let text = look.text(figure);
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= DRUMS.len();
    match (look.count(figure), digits) {
        (Count::Exactly(_), true) => {
            let drums = text.chars().rev().zip(DRUMS).map(|(digit, drum)| format!(";--{drum}:{digit}"));
            format!(";--t:0;--n:{}{}", text.len(), drums.collect::<String>())
        }
        _ => format!(";--t:1;--n:{}", text.len().clamp(1, DRUMS.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn reading(count: u64, stale: bool) -> Reading {
        Reading { count, visitors: count, epoch: 1, version: count, as_of: SystemTime::UNIX_EPOCH, stale }
    }

    #[test]
    fn updates_are_short_and_follow_one_another_over_a_reload() {
        for query in ["", "style=odometer", "style=odometer&format=grouped", "format=compact"] {
            let look = Look::from_query(query).expect("a look").of_number();
            let (mut frames, first) = HtmlFrames::begin(look.clone(), 0, &reading(12_345, false), None);
            assert_eq!(html::update_number(first.bytes()), Some(1));
            assert!(frames.are_outdated_by(&reading(12_345, true)) && !frames.are_outdated_by(&reading(12_345, false)));
            for _ in 0..998 {
                frames.frame(&reading(54_321, false));
            }
            let last = frames.frame(&reading(12_345, false));
            assert!(last.bytes().len() <= 150, "{query}: {}", String::from_utf8_lossy(last.bytes()));
            let (_, next) = HtmlFrames::begin(look, 0, &reading(1, false), Some(last.bytes()));
            assert_eq!(html::update_number(next.bytes()), Some(1001));
        }
    }

    #[test]
    fn drums_show_digits_and_texts_take_their_place() {
        let look = Look::from_query("style=odometer").expect("a look").of_number();
        assert_eq!(drums(&look, &Figure::of(42)), ";--t:0;--n:5;--a:2;--b:4;--c:0;--d:0;--e:0");
        assert_eq!(drums(&look, &Figure { fewer_than: Some(5), ..Figure::of(3) }), ";--t:1;--n:2");
    }
}
