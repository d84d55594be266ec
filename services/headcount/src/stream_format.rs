//! [`StreamFormat`]: what a live stream consists of. The engine sends them all alike.

use headcount_drawing::Format;
use headcount_wire::{events, html};

/// What a live stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StreamFormat {
    /// Pictures, for an `<img>`.
    Png,
    /// Pictures, for programs that read nothing else.
    Jpeg,
    /// A document, for an `<iframe>`.
    Html,
    /// Server-sent events, for programs.
    Events,
}

impl StreamFormat {
    /// Every format.
    pub(crate) const ALL: [Self; 4] = [Self::Png, Self::Jpeg, Self::Html, Self::Events];

    /// Its name in a handover. Never changed: other versions of the program read it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Png => Format::Png.extension(),
            Self::Jpeg => Format::Jpeg.extension(),
            Self::Html => "html",
            Self::Events => "events",
        }
    }

    /// The format with this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format of a stream of such pictures. `None` for SVG, which browsers do not show as a stream.
    pub(crate) fn of_pictures(format: Format) -> Option<Self> {
        match format {
            Format::Png => Some(Self::Png),
            Format::Jpeg => Some(Self::Jpeg),
            Format::Svg => None,
        }
    }

    /// The format of its pictures, if it consists of pictures.
    pub(crate) fn pictures(self) -> Option<Format> {
        match self {
            Self::Png => Some(Format::Png),
            Self::Jpeg => Some(Format::Jpeg),
            Self::Html | Self::Events => None,
        }
    }

    /// The response's `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Png | Self::Jpeg => headcount_wire::CONTENT_TYPE,
            Self::Html => html::CONTENT_TYPE,
            Self::Events => events::CONTENT_TYPE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for format in StreamFormat::ALL {
            assert_eq!(StreamFormat::from_name(format.name()), Some(format));
        }
        assert_eq!(StreamFormat::from_name("svg"), None);
    }
}
