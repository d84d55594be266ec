//! [`HtmlFrames`]: the frames of documents that show one of a counter's numbers as text.

use headcount_drawing::{Count, Figure, Look, Style};
use headcount_engine::Frame;
use headcount_presence::Reading;
use headcount_wire::html::{self, Liveness};

use crate::feed_pictures::figure;

/// Classes of an odometer's drums, the last drum first: as many as digits of the largest number that turns them. A greater one is
/// text.
pub(crate) const DRUMS: [char; 9] = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j'];
/// Digits in one custom property: browsers keep some seven.
pub(crate) const PROPERTY_DIGITS: usize = 6;

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

/// Declares how many drums an odometer has (`--n`), and their digits: the last six (`--a`) and those before (`--b`). Where the
/// number has more than digits, the text is shown in their place, as many drums wide: `--n` is negative.
fn drums(look: &Look, figure: &Figure) -> String {
    if look.style() != Style::Odometer {
        return String::new();
    }
    let text = look.text(figure);
    match (look.count(figure), text.parse::<u64>()) {
        (Count::Exactly(_), Ok(number)) if text.len() <= DRUMS.len() => {
            let base = 10_u64.pow(PROPERTY_DIGITS as u32);
            let high = if number < base { String::new() } else { format!(";--b:{}", number / base) };
            format!(";--n:{};--a:{}{high}", text.len(), number % base)
        }
        _ => format!(";--n:-{}", text.len().clamp(1, DRUMS.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

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
            let (_, next) = HtmlFrames::begin(look, 0, &reading(1, false), Some(last.bytes()));
            assert_eq!(html::update_number(next.bytes()), Some(1001));
        }
    }

    proptest! {
        /// The longest come first: of all looks, what decides how a number is written. 36⁵ updates take a year at two a second.
        #[test]
        fn updates_have_150_bytes_at_most(
            style in prop::sample::select(vec!["flat", "plain", "odometer", "sprites"]),
            format in prop::sample::select(vec!["full", "grouped", "compact"]),
            small in 0_u64..=1000,
            bound in prop_oneof![Just(0), 0..=1000_u64],
            (digits, count) in (0_u32..20).prop_flat_map(|digits| (Just(digits), any::<u64>())),
            stale: bool,
            update in prop_oneof![Just(36_u64.pow(5) - 3), 0..36_u64.pow(5) - 2],
        ) {
            let count = if digits == 0 { u64::MAX } else { count / 10_u64.pow(digits - 1) };
            let query = format!("style={style}&format={format}&small={small}&label=a+label");
            let look = Look::from_query(&query).expect("a look").of_number();
            let mut frames = HtmlFrames { look, small: bound, update, shown: None };
            let frame = frames.frame(&reading(count, stale));
            for bytes in [frame.bytes(), frame.ending()] {
                prop_assert!(bytes.len() <= 150, "{} bytes: {}", bytes.len(), String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn drums_show_digits_and_texts_take_their_place() {
        let look = Look::from_query("style=odometer").expect("a look").of_number();
        assert_eq!(drums(&look, &Figure::of(42)), ";--n:5;--a:42");
        assert_eq!(drums(&look, &Figure::of(7_000_042)), ";--n:7;--a:42;--b:7");
        assert_eq!(drums(&look, &Figure::of(1_000_000_000)), ";--n:-9");
        assert_eq!(drums(&look, &Figure { fewer_than: Some(5), ..Figure::of(3) }), ";--n:-2");
    }
}
