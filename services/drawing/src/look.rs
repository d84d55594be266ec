//! [`Look`]: how a number is drawn, independent of the number.

use headcount_wire::history::Span;

use crate::{
    colour::Colour,
    figure::{Count, Figure},
    number::{self, Writing},
    sprites::SetName,
};

/// Background of the number in a flat badge.
const FLAT_BACKGROUND: Colour = Colour([0x1f, 0x7a, 0x4d]);
/// An odometer's drums, and the digits on them.
const DRUM_BACKGROUND: Colour = Colour([0x1c, 0x1c, 0x1e]);
const DRUM_TEXT: Colour = Colour([0xf4, 0xf1, 0xe8]);
/// Background of a flat badge's label.
const LABEL_BACKGROUND: Colour = Colour([0x4a, 0x4f, 0x57]);
/// Text on a transparent background.
const PLAIN_TEXT: Colour = Colour([0x33, 0x38, 0x40]);
/// Text on a light background.
const DARK_TEXT: Colour = Colour([0x22, 0x25, 0x2a]);

/// Background of a chart, and the curves that stand out from light and from dark ones.
const CHART_BACKGROUND: Colour = Colour::WHITE;
const CURVE_ON_LIGHT: Colour = Colour([0x1f, 0x7a, 0x4d]);
const CURVE_ON_DARK: Colour = Colour([0x4c, 0xc3, 0x8a]);
/// Width and height of a chart, and of a spark, in pixels.
const CHART_SIZE: (u16, u16) = (600, 160);
const SPARK_SIZE: (u16, u16) = (160, 40);

/// The kind of picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Style {
    /// A badge: the label on the left, the number on a coloured background on the right.
    #[default]
    Flat,
    /// Number and label on a transparent background.
    Plain,
    /// The drums of the classic web counter.
    Odometer,
    /// Pictures of digits, of a set that the operator has chosen or of the built-in one.
    Sprites,
    /// The number, and its past as a chart with axes.
    Chart,
    /// The number, with the last hour behind it.
    Spark,
}

impl Style {
    /// Whether its pictures show the past, so that they change with time too, and have a width that the look decides.
    pub fn shows_past(self) -> bool {
        matches!(self, Style::Chart | Style::Spark)
    }
}

/// Which of a counter's numbers the picture shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shows {
    /// The number of open streams.
    #[default]
    Count,
    /// The number of distinct visitors.
    Visitors,
}

/// How a number is drawn. Looks that draw the same picture are equal: an option that is set to its default equals one
/// that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Look {
    pub(crate) style: Style,
    pub(crate) label: String,
    /// `None` means a colour that is readable on the background.
    pub(crate) foreground: Option<Colour>,
    /// `None` means the style's default.
    pub(crate) background: Option<Colour>,
    /// Behind the label of a flat badge. `None` means the default.
    pub(crate) label_background: Option<Colour>,
    pub(crate) height: u16,
    /// Of a chart or a spark. The number decides that of other styles, which have 0 here.
    pub(crate) width: u16,
    /// Of a chart; a spark shows an hour.
    pub(crate) span: Span,
    pub(crate) scale: u8,
    /// The set of sprites. `None` means the built-in one.
    pub(crate) set: Option<SetName>,
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
    /// A style with every other option at its default.
    pub fn of_style(style: Style) -> Look {
        let label = match style {
            Style::Flat | Style::Plain => "online",
            Style::Odometer | Style::Sprites => "",
            Style::Chart | Style::Spark => "open now",
        };
        let (width, height) = match style {
            Style::Chart => CHART_SIZE,
            Style::Spark => SPARK_SIZE,
            Style::Flat | Style::Plain | Style::Odometer | Style::Sprites => (0, 20),
        };
        let span = if style == Style::Spark { Span::Hour } else { Span::default() };
        Look {
            style,
            label: label.to_owned(),
            foreground: None,
            background: None,
            label_background: None,
            height,
            width,
            span,
            scale: 1,
            set: None,
            writing: Writing::default(),
            shows: Shows::default(),
            small: 0,
        }
    }

    /// Whether every option has its default.
    pub fn is_default(&self) -> bool {
        *self == Look::default()
    }

    /// The kind of picture.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The text beside the number; may be empty.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The colour of the text, if the look sets one.
    pub fn foreground(&self) -> Option<Colour> {
        self.foreground
    }

    /// The colour behind the number; `None` is transparent.
    pub fn background(&self) -> Option<Colour> {
        self.background.or(match self.style {
            Style::Flat => Some(FLAT_BACKGROUND),
            Style::Plain | Style::Sprites => None,
            Style::Odometer => Some(DRUM_BACKGROUND),
            Style::Chart | Style::Spark => Some(CHART_BACKGROUND),
        })
    }

    /// The colour behind the label of a flat badge.
    pub fn label_background(&self) -> Colour {
        self.label_background.unwrap_or(LABEL_BACKGROUND)
    }

    /// The colour of a flat badge's label: the one that the look sets, or one that is readable on its background.
    pub fn label_colour(&self) -> Colour {
        let readable = if self.label_background().is_light() { DARK_TEXT } else { Colour::WHITE };
        self.foreground.unwrap_or(readable)
    }

    /// The colour of the number, or of a chart's curve: the one that the look sets, or one that stands out from the background.
    pub fn text_colour(&self) -> Colour {
        self.foreground.unwrap_or(match (self.style, self.background()) {
            (_, None) => PLAIN_TEXT,
            (Style::Chart | Style::Spark, Some(background)) => {
                let better = background.contrast(CURVE_ON_DARK) > background.contrast(CURVE_ON_LIGHT);
                if better { CURVE_ON_DARK } else { CURVE_ON_LIGHT }
            }
            (_, Some(background)) if background.is_light() => DARK_TEXT,
            (Style::Odometer, Some(_)) => DRUM_TEXT,
            (_, Some(_)) => Colour::WHITE,
        })
    }

    /// The set of sprites that a look in that style is drawn with.
    pub fn sprite_set(&self) -> SetName {
        self.set.clone().unwrap_or_else(SetName::built_in)
    }

    /// Removes colours and names that equal the defaults, so that looks that draw the same picture are equal.
    pub(crate) fn canonical(mut self) -> Look {
        let default = Look { background: None, ..self.clone() };
        if self.background.is_some() && self.background == default.background() {
            self.background = None;
        }
        if self.style != Style::Flat || self.label.is_empty() || self.label_background == Some(LABEL_BACKGROUND) {
            self.label_background = None;
        }
        if self.style != Style::Sprites || self.set == Some(SetName::built_in()) {
            self.set = None;
        }
        if !self.style.shows_past() {
            self.width = 0;
        }
        if self.style != Style::Chart {
            self.span = Look::of_style(self.style).span;
        }
        let default = Look { foreground: None, ..self.clone() };
        // Without a foreground colour, a flat badge's label and its number may have different ones.
        let one_colour =
            self.style != Style::Flat || self.label.is_empty() || default.text_colour() == default.label_colour();
        if one_colour && self.foreground == Some(default.text_colour()) {
            self.foreground = None;
        }
        self
    }

    /// The width in pixels, before scaling, of a chart or a spark: 120 to 1200. The number decides that of other styles.
    pub fn width(&self) -> Option<u32> {
        self.style.shows_past().then(|| self.width.into())
    }

    /// How much of the past the picture shows, if it does.
    pub fn span(&self) -> Option<Span> {
        self.style.shows_past().then_some(self.span)
    }

    /// The picture's height in pixels, before scaling: 12 to 96, of a chart 60 to 600.
    pub fn height(&self) -> u32 {
        self.height.into()
    }

    /// Device pixels per pixel, in each direction: 1 to 3.
    pub fn scale(&self) -> u32 {
        self.scale.into()
    }

    /// How the number is written.
    pub fn writing(&self) -> Writing {
        self.writing
    }

    /// Which of a counter's numbers the picture shows.
    pub fn shows(&self) -> Shows {
        self.shows
    }

    /// Numbers below this are hidden: the picture says only "fewer than". 0 hides none.
    pub fn small(&self) -> u64 {
        self.small
    }

    /// The number as far as this look shows it. Both [`small`](Self::small) and [`Figure::fewer_than`] can hide it.
    pub fn count(&self, figure: &Figure) -> Count {
        let small = (figure.number < self.small).then_some(self.small);
        match figure.fewer_than.max(small) {
            Some(bound) => Count::FewerThan(bound),
            None => Count::Exactly(figure.number),
        }
    }

    /// The number as this look writes it. Figures with equal text that are equally stale draw the same picture.
    pub fn text(&self, figure: &Figure) -> String {
        let padding = match self.style {
            Style::Odometer | Style::Sprites => number::Padding::Zeros,
            Style::Flat | Style::Plain | Style::Chart | Style::Spark => number::Padding::None,
        };
        number::format(self.count(figure), self.writing, padding)
    }

    /// A number of the past as this look writes numbers.
    pub(crate) fn written(&self, number: u64) -> String {
        number::format(Count::Exactly(number), self.writing, number::Padding::None)
    }

    /// The number as this look writes it, without zeros in front: for those who hear it.
    pub fn spoken(&self, figure: &Figure) -> String {
        number::format(self.count(figure), self.writing, number::Padding::None)
    }

    /// What of this look decides how the number itself is written; all else is at its default. Looks that differ in nothing but
    /// colours, size and label are equal then. A chart is a picture in documents too, and keeps all but its scale.
    #[must_use]
    pub fn of_number(&self) -> Look {
        if self.style.shows_past() {
            return Look { scale: 1, ..self.clone() };
        }
        // Each of two styles writes as another does.
        let style = match self.style {
            Style::Odometer | Style::Sprites => Style::Odometer,
            Style::Flat | Style::Plain | Style::Chart | Style::Spark => Style::Flat,
        };
        Look { writing: self.writing, shows: self.shows, small: self.small, ..Look::of_style(style) }
    }
}
