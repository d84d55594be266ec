//! [`Format`]: the image formats of pictures.

/// An image format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Exact pixels and real transparency.
    Png,
    /// For stream readers that support nothing else, such as ffmpeg's `mpjpeg`. Transparent backgrounds become white.
    Jpeg,
    /// Outlines, sharp at every size. For snapshots only: browsers do not animate a stream of SVGs.
    Svg,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 3] = [Format::Png, Format::Jpeg, Format::Svg];

    /// The `Content-Type` of images in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Png => "image/png",
            Format::Jpeg => "image/jpeg",
            Format::Svg => "image/svg+xml",
        }
    }

    /// The extension in file names and URLs, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpg",
            Format::Svg => "svg",
        }
    }

    /// Returns the format of a lower-case extension without its dot. Accepts both `jpg` and `jpeg`.
    pub fn from_extension(extension: &str) -> Option<Format> {
        match extension {
            "jpeg" => Some(Format::Jpeg),
            _ => Format::ALL.into_iter().find(|format| format.extension() == extension),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_round_trip() {
        for format in Format::ALL {
            assert_eq!(Format::from_extension(format.extension()), Some(format));
        }
        assert_eq!(Format::from_extension("jpeg"), Some(Format::Jpeg));
        assert_eq!(Format::from_extension("gif"), None);
    }
}
