//! [`ConfigFile`]: the configuration file's text, read with bounds, and its lines.

use std::fs::File;
use std::io::Read;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::PermissionsExt;

/// Largest file, in bytes: a thousand times what all options need, and room for long lists of sites.
const MAX_BYTES: u64 = 1 << 20;
/// Permission of everybody to read a file.
const READABLE_BY_ALL: u32 = 0o004;

/// A configuration file that has been read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    /// Its path as it was given.
    pub(super) path: String,
    /// What it contains.
    pub(super) text: String,
    /// Whether everybody may read it.
    pub(super) is_public: bool,
    line_ends: Vec<usize>,
}

impl ConfigFile {
    /// Reads the file.
    ///
    /// # Errors
    /// Says why it cannot be read, or that it is too large or not text.
    pub(super) fn read(path: &str) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
        // Opening a pipe could wait for ever.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err("cannot be read: must be a file, not a directory, a pipe or a device".to_owned());
        }
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("is too large; must be at most {MAX_BYTES} bytes"));
        }
        let line_ends: Vec<usize> = memchr::memchr_iter(b'\n', &bytes).collect();
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = line(&line_ends, error.utf8_error().valid_up_to());
            format!("line {line} is not UTF-8; must be TOML")
        })?;
        Ok(Self { path: path.to_owned(), text, is_public: mode & READABLE_BY_ALL != 0, line_ends })
    }

    /// Returns the number of the line with the byte at `offset`, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        line(&self.line_ends, offset)
    }

    /// Returns the numbers of the lines with these bytes.
    pub(super) fn lines(&self, bytes: Range<usize>) -> RangeInclusive<usize> {
        self.line(bytes.start)..=self.line(bytes.end)
    }

    /// Returns the text with these lines, which are sorted, made blank. All other bytes keep their offsets.
    pub(super) fn without(&self, lines: &[usize]) -> String {
        let blank = |(index, line): (usize, &str)| match lines.binary_search(&(index + 1)) {
            Ok(_) => " ".repeat(line.len()),
            Err(_) => line.to_owned(),
        };
        self.text.split('\n').enumerate().map(blank).collect::<Vec<_>>().join("\n")
    }
}

fn line(line_ends: &[usize], offset: usize) -> usize {
    1 + line_ends.partition_point(|end| *end < offset)
}
