//! The headers that describe a stream: the boundary in the response's `Content-Type`, and the length of a part.

pub use crate::error::excerpt;
use crate::error::{MAX_PART_BYTES, ReadError};

/// Returns the boundary that a response's `Content-Type` names, without its two leading dashes, or `None` if it is
/// not a multipart stream with a boundary. Some cameras write the dashes into the header too; like browsers, this
/// removes them.
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

/// Reads the headers of a part, given without the blank line that ends them, and returns its `Content-Length`, at most
/// [`MAX_PART_BYTES`]; `None` if only the next boundary ends the part. Ignores all other headers.
///
/// # Errors
/// Fails with [`ReadError::Header`] if a line is not a header or the length is not a number, and with
/// [`ReadError::LongPart`] if the length is above [`MAX_PART_BYTES`].
pub fn part_length(lines: &[u8]) -> Result<Option<usize>, ReadError> {
    let mut length = None;
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let malformed = || ReadError::Header(excerpt(line));
        let text = std::str::from_utf8(line).ok().filter(|text| text.is_ascii()).ok_or_else(malformed)?;
        let (name, value) = text.split_once(':').ok_or_else(malformed)?;
        if name.is_empty() || name.contains(' ') {
            return Err(malformed());
        }
        if name.eq_ignore_ascii_case("content-length") {
            let bytes = value.trim().parse().map_err(|_| malformed())?;
            if bytes > MAX_PART_BYTES {
                return Err(ReadError::LongPart);
            }
            length = Some(bytes);
        }
    }
    Ok(length)
}
