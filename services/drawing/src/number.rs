//! Numbers as text: in full, in groups of three, or abbreviated.

use crate::figure::Count;

/// Least number of an odometer's drums, and of sprites, as on the classic ones, so that a growing number rarely changes the width.
const DRUMS: usize = 5;

/// How the number is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Writing {
    /// `12345`, which reads the same in every language.
    #[default]
    Full,
    /// `12,345`
    Grouped,
    /// `12.3k`
    Compact,
}

/// What precedes a number with few digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Nothing.
    None,
    /// Zeros, up to [`DRUMS`] digits.
    Zeros,
}

/// Formats a count.
pub(crate) fn format(count: Count, writing: Writing, padding: Padding) -> String {
    let (prefix, number) = match count {
        Count::Exactly(number) => ("", number),
        Count::FewerThan(bound) => ("<", bound),
    };
    let digits = match padding {
        Padding::Zeros if prefix.is_empty() && writing != Writing::Compact => format!("{number:0DRUMS$}"),
        Padding::Zeros | Padding::None => number.to_string(),
    };
    let number = match writing {
        Writing::Full => digits,
        Writing::Grouped => grouped(&digits),
        Writing::Compact => compact(number),
    };
    format!("{prefix}{number}")
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a number with at most three digits and an SI prefix. Rounds down: 999,999 is not yet a million.
fn compact(number: u64) -> String {
    const ORDERS: [(u64, &str); 6] = [
        (1_000_000_000_000_000_000, "E"),
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    match ORDERS.into_iter().find(|&(order, _)| number >= order) {
        None => number.to_string(),
        Some((order, name)) if number / order >= 100 => format!("{}{name}", number / order),
        Some((order, name)) => format!("{}.{}{name}", number / order, number / (order / 10) % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted() {
        let all = |number| {
            [Writing::Full, Writing::Grouped, Writing::Compact]
                .map(|writing| format(Count::Exactly(number), writing, Padding::None))
        };
        assert_eq!(all(0), ["0", "0", "0"]);
        assert_eq!(all(999), ["999", "999", "999"]);
        assert_eq!(all(1_000), ["1000", "1,000", "1.0k"]);
        assert_eq!(all(12_345), ["12345", "12,345", "12.3k"]);
        assert_eq!(all(12_399), ["12399", "12,399", "12.3k"]);
        assert_eq!(all(123_456), ["123456", "123,456", "123k"]);
        assert_eq!(all(999_999), ["999999", "999,999", "999k"]);
        assert_eq!(all(1_234_567), ["1234567", "1,234,567", "1.2M"]);
        assert_eq!(all(u64::MAX), ["18446744073709551615", "18,446,744,073,709,551,615", "18.4E"]);
    }

    #[test]
    fn hidden_numbers_show_their_bound() {
        assert_eq!(format(Count::FewerThan(5), Writing::Full, Padding::None), "<5");
        assert_eq!(format(Count::FewerThan(1000), Writing::Grouped, Padding::Zeros), "<1,000");
    }

    #[test]
    fn odometers_are_padded_with_zeros() {
        let drums = |number, writing| format(Count::Exactly(number), writing, Padding::Zeros);
        assert_eq!(drums(42, Writing::Full), "00042");
        assert_eq!(drums(42, Writing::Grouped), "00,042");
        assert_eq!(drums(42, Writing::Compact), "42");
        assert_eq!(drums(1_234_567, Writing::Full), "1234567");
    }
}
