//! [`Format`]: the image formats a picture can be encoded in.

/// An image format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Exact pixels and real transparency.
    Png,
    /// For readers of streams that know nothing else, such as ffmpeg's `mpjpeg`. Transparent grounds become white.
    Jpeg,
    /// Outlines, sharp at every size; for snapshots only, as browsers do not animate a stream of them.
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

    /// The extension of file names and addresses, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpg",
            Format::Svg => "svg",
        }
    }

    /// The format of an extension written without its dot, in lower case; `jpeg` is known besides `jpg`.
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
    fn extensions_lead_back() {
        for format in Format::ALL {
            assert_eq!(Format::from_extension(format.extension()), Some(format));
        }
        assert_eq!(Format::from_extension("jpeg"), Some(Format::Jpeg));
        assert_eq!(Format::from_extension("gif"), None);
    }
}
