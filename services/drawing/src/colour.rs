//! [`Colour`]: an opaque colour, parsed as in CSS.

use std::fmt;

/// An opaque sRGB colour: red, green and blue. Displays as six hexadecimal digits, which need no escaping in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// White.
    pub const WHITE: Colour = Colour([255; 3]);
    /// Black.
    pub const BLACK: Colour = Colour([0; 3]);

    /// Parses three or six hexadecimal digits, with or without `#`, or a CSS colour name. Returns `None` for anything
    /// else.
    pub fn parse(text: &str) -> Option<Colour> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        if matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let [red, green, blue, _] = csscolorparser::parse(digits).ok()?.to_rgba8();
            return Some(Colour([red, green, blue]));
        }
        csscolorparser::NAMED_COLORS.get(text.into()).map(|&channels| Colour(channels))
    }

    /// Whether dark text is more readable on this background than white text.
    pub(crate) fn is_light(self) -> bool {
        // Perceived brightness (ITU-R BT.601 weights), with the threshold of shields.io.
        let [red, green, blue] = self.0.map(f32::from);
        (red * 299.0 + green * 587.0 + blue * 114.0) / 255_000.0 > 0.69
    }

    /// Whichever of black and white stands out from this background.
    pub(crate) fn black_or_white(self) -> Colour {
        if self.is_light() { Colour::BLACK } else { Colour::WHITE }
    }

    /// The contrast with another colour, as WCAG 2 defines it: from 1 to 21.
    pub(crate) fn contrast(self, other: Colour) -> f32 {
        let luminance = |colour: Colour| {
            let [red, green, blue] = colour.0.map(|channel| {
                // Nearer to sRGB's curve than 0.002, and its bits are the same on every machine, as those of a power are not.
                let value = f32::from(channel) / 255.0;
                value * (value * (value * 0.305_306 + 0.682_171_1) + 0.012_522_878)
            });
            red * 0.2126 + green * 0.7152 + blue * 0.0722 + 0.05
        };
        let (one, other) = (luminance(self), luminance(other));
        one.max(other) / one.min(other)
    }

    /// The grey that is as bright as this colour, so that its contrast with other colours stays the same.
    pub(crate) fn grey(self) -> Colour {
        // Relative luminance (ITU-R BT.709 weights). Its gamma of 2.0 is near that of sRGB, and a square root has the same
        // bits on every machine.
        let [red, green, blue] = self.0.map(|channel| f32::from(channel) * f32::from(channel));
        let grey = (red * 0.2126 + green * 0.7152 + blue * 0.0722).sqrt();
        Colour([(grey + 0.5) as u8; 3])
    }

    /// Mixes `share` (0 to 1) of `other` into this colour, in sRGB like browsers.
    pub(crate) fn mix(self, other: Colour, share: f32) -> Colour {
        let mut mixed = self.0;
        for (channel, towards) in mixed.iter_mut().zip(other.0) {
            let mixed = f32::from(*channel) + (f32::from(towards) - f32::from(*channel)) * share;
            // A cast truncates, which is faster than `round`.
            *channel = (mixed + 0.5) as u8;
        }
        Colour(mixed)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(out, "{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn css_colours_are_parsed() {
        for (text, channels) in [
            ("fff", [255, 255, 255]),
            ("#1a2", [0x11, 0xaa, 0x22]),
            ("1a2B3c", [0x1a, 0x2b, 0x3c]),
            ("#1a2b3c", [0x1a, 0x2b, 0x3c]),
            ("RebeccaPurple", [0x66, 0x33, 0x99]),
        ] {
            assert_eq!(Colour::parse(text), Some(Colour(channels)), "{text}");
        }
        for text in ["", "#", "ff", "ffff", "ggg", "#red", "transparent", "rgb(1,2,3)", "12345678", "+12", "é12"] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn greys_stay_and_colours_become_grey() {
        for grey in (0..=255).map(|channel| Colour([channel; 3])) {
            assert_eq!(grey.grey(), grey);
        }
        assert_eq!(Colour([0x1f, 0x7a, 0x4d]).grey(), Colour([0x6a; 3]));
        assert_eq!(Colour([255, 0, 0]).grey(), Colour([0x76; 3]));
    }

    #[test]
    fn colours_round_trip() {
        let colour = Colour([1, 0xab, 255]);
        assert_eq!(colour.to_string(), "01abff");
        assert_eq!(Colour::parse("01abff"), Some(colour));
    }
}
