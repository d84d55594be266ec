//! [`Stamp`]: the machine-readable number inside every picture.
//!
//! In a PNG it is a `tEXt` chunk with the keyword `headcount`, in a JPEG a comment that begins with `headcount `, and in
//! an SVG the content of `<metadata>`. A stream's part headers cannot carry it: they are sent before the number is known.

use std::{fmt, str::FromStr};

use crate::figure::Count;

/// Identifies the stamp inside an image.
pub(crate) const KEYWORD: &str = "headcount";

/// A picture's number, as `count=12 epoch=7 version=3`, with ` stale` at the end if it is not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The number, as far as the picture shows it.
    pub count: Count,
    /// The epoch the number belongs to. Numbers of different epochs cannot be ordered.
    pub epoch: u64,
    /// Increases with every change within an epoch. 0 where the number is hidden.
    pub version: u64,
    /// Whether the picture is marked: when it was drawn, nothing had confirmed the number for a while, or the stream was about
    /// to end.
    pub stale: bool,
}

/// Why no stamp could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// The bytes are in no format that carries stamps.
    #[error("this is neither a PNG, nor a JPEG, nor an SVG image")]
    NoImage,
    /// The image is not one of ours, or ends before its stamp.
    #[error("the image carries no number")]
    NoStamp,
    /// There is a stamp, but not in the form of [`Stamp`].
    #[error("the image's number is malformed: {0:?}")]
    Malformed(String),
}

impl fmt::Display for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            Count::Exactly(number) => write!(out, "count={number}")?,
            Count::FewerThan(bound) => write!(out, "count=<{bound}")?,
        }
        write!(out, " epoch={} version={}", self.epoch, self.version)?;
        if self.stale { out.write_str(" stale") } else { Ok(()) }
    }
}

impl FromStr for Stamp {
    type Err = StampError;

    fn from_str(text: &str) -> Result<Stamp, StampError> {
        parse(text).ok_or_else(|| StampError::Malformed(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Stamp> {
    let mut words = text.split(' ');
    let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
    let (count, epoch, version) = (value("count")?, value("epoch")?, value("version")?);
    let count = match count.strip_prefix('<') {
        Some(bound) => Count::FewerThan(number(bound)?),
        None => Count::Exactly(number(count)?),
    };
    let (epoch, version) = (number(epoch)?, number(version)?);
    let stale = match words.next() {
        None => false,
        Some("stale") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Stamp { count, epoch, version, stale })
}

/// Parses digits only: `u64::from_str` would accept a plus sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Reads the stamp of an image in any of our formats.
///
/// # Errors
/// Fails if the bytes are not such an image, or if its stamp is missing or malformed.
pub fn read_stamp(image: &[u8]) -> Result<Stamp, StampError> {
    let text = if let Some(chunks) = image.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        in_png(chunks)
    } else if let Some(segments) = image.strip_prefix(b"\xff\xd8") {
        in_jpeg(segments)
    } else if image.starts_with(b"<svg") {
        in_svg(image)
    } else {
        return Err(StampError::NoImage);
    };
    text.ok_or(StampError::NoStamp)?.parse()
}

fn in_png(mut chunks: &[u8]) -> Option<String> {
    loop {
        let (length, rest) = chunks.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (data, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if kind == b"tEXt"
            && let Some(text) = data.strip_prefix(KEYWORD.as_bytes()).and_then(|data| data.strip_prefix(b"\0"))
        {
            return String::from_utf8(text.to_vec()).ok();
        }
        // A checksum of four bytes follows the data.
        chunks = rest.get(4..)?;
    }
}

fn in_jpeg(mut segments: &[u8]) -> Option<String> {
    const COMMENT: u8 = 0xfe;
    const START_OF_SCAN: u8 = 0xda;
    loop {
        let (&[fill, marker, high, low], rest) = segments.split_first_chunk::<4>()?;
        if fill != 0xff || marker == START_OF_SCAN {
            return None;
        }
        // The length includes its own two bytes.
        let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
        let (data, rest) = rest.split_at_checked(length)?;
        if marker == COMMENT
            && let Some(text) = data.strip_prefix(KEYWORD.as_bytes()).and_then(|data| data.strip_prefix(b" "))
        {
            return String::from_utf8(text.to_vec()).ok();
        }
        segments = rest;
    }
}

fn in_svg(image: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(image).ok()?;
    let (_, after) = text.split_once("<metadata>")?;
    let (stamp, _) = after.split_once("</metadata>")?;
    Some(stamp.replace("&lt;", "<"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_round_trip() {
        for (text, count, stale) in [
            ("count=12 epoch=7 version=3", Count::Exactly(12), false),
            ("count=0 epoch=7 version=3 stale", Count::Exactly(0), true),
            ("count=<5 epoch=7 version=3", Count::FewerThan(5), false),
        ] {
            let stamp = Stamp { count, epoch: 7, version: 3, stale };
            assert_eq!(stamp.to_string(), text);
            assert_eq!(text.parse(), Ok(stamp));
        }
    }

    #[test]
    fn malformed_stamps_are_rejected() {
        for text in [
            "",
            "count=12",
            "count=12 epoch=7",
            "count=12 epoch=7 version=3 ",
            "count=12 epoch=7 version=3 fresh",
            "count=12 epoch=7 version=3 stale stale",
            "count=+12 epoch=7 version=3",
            "count= epoch=7 version=3",
            "count=99999999999999999999 epoch=7 version=3",
            "epoch=7 count=12 version=3",
        ] {
            assert_eq!(text.parse::<Stamp>(), Err(StampError::Malformed(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn other_images_have_no_stamp() {
        assert_eq!(read_stamp(b""), Err(StampError::NoImage));
        assert_eq!(read_stamp(b"GIF89a"), Err(StampError::NoImage));
        assert_eq!(read_stamp(b"\x89PNG\r\n\x1a\n\0\0\0\x04tEXt"), Err(StampError::NoStamp));
        assert_eq!(read_stamp(b"\xff\xd8\xff\xfe\0\0"), Err(StampError::NoStamp));
        assert_eq!(read_stamp(b"\xff\xd8\xff\xfe\0\x0bcomment.."), Err(StampError::NoStamp));
        assert_eq!(read_stamp(b"<svg/>"), Err(StampError::NoStamp));
        let odd = b"<svg><metadata>count=1</metadata></svg>";
        assert_eq!(read_stamp(odd), Err(StampError::Malformed("count=1".into())));
    }
}
