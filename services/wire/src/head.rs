//! What stands before the images: the boundary in the response's head, and the head of each part.

use crate::ReadError;
use crate::read::MAX_PART_BYTES;

/// The boundary that a response's `Content-Type` names, without its two leading dashes; `None` where it is not a
/// multipart stream with one. Some cameras write the dashes into the header too; they are taken off, as browsers do.
pub fn boundary(content_type: &str) -> Option<&str> {
    let mut fields = content_type.split(';').map(str::trim);
    if !fields.next()?.eq_ignore_ascii_case("multipart/x-mixed-replace") {
        return None;
    }
    let boundary = fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    let boundary = boundary.strip_prefix("--").unwrap_or(boundary);
    (!boundary.is_empty()).then_some(boundary)
}

/// What a part's headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartHead<'a> {
    /// The part's `Content-Type`, empty where it has none.
    pub content_type: &'a str,
    /// Bytes of its body, [`MAX_PART_BYTES`] at most; `None` where only the next boundary ends it.
    pub length: Option<usize>,
}

impl<'a> PartHead<'a> {
    /// Reads a part's headers, without the blank line that ends them. Others than these two are passed over.
    ///
    /// # Errors
    /// [`ReadError::Header`] where a line is no header, or a length no number; [`ReadError::LongPart`].
    pub fn parse(lines: &'a [u8]) -> Result<Self, ReadError> {
        let mut head = Self::default();
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let malformed = || ReadError::Header(excerpt(line));
            let text = std::str::from_utf8(line).ok().filter(|text| text.is_ascii()).ok_or_else(malformed)?;
            let (name, value) = text.split_once(':').ok_or_else(malformed)?;
            if name.is_empty() || name.contains(' ') {
                return Err(malformed());
            }
            if name.eq_ignore_ascii_case("content-type") {
                head.content_type = value.trim();
            } else if name.eq_ignore_ascii_case("content-length") {
                let bytes = value.trim().parse().map_err(|_| malformed())?;
                if bytes > MAX_PART_BYTES {
                    return Err(ReadError::LongPart);
                }
                head.length = Some(bytes);
            }
        }
        Ok(head)
    }
}

/// The beginning of what was found instead, for the message of a [`ReadError`].
pub fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned()
}
