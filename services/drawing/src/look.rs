//! [`Look`]: how a number is to be drawn, without the number.

use crate::{
    colour::Colour,
    figure::{Count, Figure},
    number,
};

/// The number's ground in a flat badge.
const FLAT_GROUND: Colour = Colour([0x1f, 0x7a, 0x4d]);
/// An odometer's drums, and the figures on them.
const DRUM_GROUND: Colour = Colour([0x1c, 0x1c, 0x1e]);
const DRUM_INK: Colour = Colour([0xf4, 0xf1, 0xe8]);
/// Letters and figures on the page itself.
const PLAIN_INK: Colour = Colour([0x33, 0x38, 0x40]);
/// Letters and figures on a light ground.
const DARK_INK: Colour = Colour([0x22, 0x25, 0x2a]);

/// The kind of picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Style {
    /// A badge: the label on the left, the number on a coloured ground on the right.
    #[default]
    Flat,
    /// Number and label on a transparent ground.
    Plain,
    /// The drums of the classic web counter.
    Odometer,
}

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

/// Which of a counter's numbers is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shows {
    /// The streams that are open.
    #[default]
    Count,
    /// The distinct people behind them.
    Visitors,
}

/// How a number is drawn. Two looks that draw the same are equal: an option that is set to its default is the same as
/// one that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Look {
    pub(crate) style: Style,
    pub(crate) label: String,
    /// `None` is a colour that can be read on the ground.
    pub(crate) foreground: Option<Colour>,
    /// `None` is the style's own.
    pub(crate) background: Option<Colour>,
    pub(crate) height: u8,
    pub(crate) scale: u8,
    pub(crate) writing: Writing,
    pub(crate) shows: Shows,
    pub(crate) small: u64,
}

impl Default for Look {
    fn default() -> Look {
        Look::of_style(Style::default())
    }
}

impl Look {
    /// The look of a style with every other option at its default.
    pub fn of_style(style: Style) -> Look {
        let label = match style {
            Style::Flat | Style::Plain => "online",
            Style::Odometer => "",
        };
        Look {
            style,
            label: label.to_owned(),
            foreground: None,
            background: None,
            height: 20,
            scale: 1,
            writing: Writing::default(),
            shows: Shows::default(),
            small: 0,
        }
    }

    /// The kind of picture.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The words beside the number; may be empty.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The colour of letters and figures, where one was asked for.
    pub fn foreground(&self) -> Option<Colour> {
        self.foreground
    }

    /// The colour of the number's ground; `None` is transparent.
    pub fn background(&self) -> Option<Colour> {
        self.background.or(match self.style {
            Style::Flat => Some(FLAT_GROUND),
            Style::Plain => None,
            Style::Odometer => Some(DRUM_GROUND),
        })
    }

    /// The colour of the number: the one asked for, or else one that can be read on its ground.
    pub fn ink(&self) -> Colour {
        self.foreground.unwrap_or(match (self.style, self.background()) {
            (_, None) => PLAIN_INK,
            (_, Some(ground)) if ground.is_light() => DARK_INK,
            (Style::Odometer, Some(_)) => DRUM_INK,
            (_, Some(_)) => Colour::WHITE,
        })
    }

    /// Leaves out what is as it would be anyway, so that looks that draw the same are equal.
    pub(crate) fn canonical(mut self) -> Look {
        let own = Look { background: None, ..self.clone() };
        if self.background.is_some() && self.background == own.background() {
            self.background = None;
        }
        let own = Look { foreground: None, ..self.clone() };
        // Without a colour asked for, a flat badge's label stays white, whatever the number is.
        let one_ink = self.style != Style::Flat || self.label.is_empty() || own.ink() == Colour::WHITE;
        if one_ink && self.foreground == Some(own.ink()) {
            self.foreground = None;
        }
        self
    }

    /// The picture's height in pixels, before scaling: 12 to 96.
    pub fn height(&self) -> u32 {
        self.height.into()
    }

    /// Device pixels for each pixel, in each direction: 1 to 3.
    pub fn scale(&self) -> u32 {
        self.scale.into()
    }

    /// How the number is written.
    pub fn writing(&self) -> Writing {
        self.writing
    }

    /// Which of a counter's numbers is to be drawn.
    pub fn shows(&self) -> Shows {
        self.shows
    }

    /// Below this the picture says only "fewer than"; 0 says every number.
    pub fn small(&self) -> u64 {
        self.small
    }

    /// The number as far as this look tells it: [`small`](Self::small) and [`Figure::fewer_than`] both hide it.
    pub fn count(&self, figure: &Figure) -> Count {
        let small = (figure.number < self.small).then_some(self.small);
        match figure.fewer_than.max(small) {
            Some(bound) => Count::FewerThan(bound),
            None => Count::Exactly(figure.number),
        }
    }

    /// The number as this look writes it. Two figures of equal text that are both stale or both fresh draw the same
    /// picture.
    pub fn text(&self, figure: &Figure) -> String {
        let fill = match self.style {
            Style::Odometer => number::Fill::Drums,
            Style::Flat | Style::Plain => number::Fill::None,
        };
        number::write(self.count(figure), self.writing, fill)
    }

    /// What the picture says, in words, for those who do not see it.
    pub fn alternative(&self, figure: &Figure) -> String {
        let number = match self.count(figure) {
            Count::Exactly(_) => number::write(self.count(figure), self.writing, number::Fill::None),
            Count::FewerThan(bound) => format!("fewer than {bound}"),
        };
        let stale = if figure.stale { " (not up to date)" } else { "" };
        if self.label.is_empty() { format!("{number}{stale}") } else { format!("{}: {number}{stale}", self.label) }
    }
}
