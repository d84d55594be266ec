//! [`HistoryFile`]: where a process without Redis keeps the past. The file is replaced as a whole, so that whatever happens it
//! is the former one or the new one.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::recorder::Recorder;

/// The first bytes of the file. Another number is another format.
const MAGIC: &[u8] = b"headcount history 1\n";

/// Bytes of the SHA-256 that follows, of all that is behind it.
const DIGEST_BYTES: usize = 32;

/// A file with the past of counters.
#[derive(Debug, Clone)]
pub struct HistoryFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// What it contained when it was opened.
    content: Content,
}

/// The content, MessagePack.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// When it was written, in milliseconds since 1970.
    pub(crate) saved_at: u64,
    /// The counters, by name.
    pub(crate) counters: Vec<(String, Recorder)>,
}

/// Why a file is not used. Nothing in it is changed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryFileError {
    /// It cannot be read or written.
    #[error("{} cannot be {what}: {error}", .path.display())]
    Io {
        /// The file, or its folder.
        path: PathBuf,
        /// What has failed.
        what: &'static str,
        /// The system's reason.
        error: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no history of headcount: name another file, or move this one away", .0.display())]
    Foreign(PathBuf),
    /// Its content has changed since it was written.
    #[error("{} is damaged: put a copy in its place, or move it away to begin anew", .0.display())]
    Damaged(PathBuf),
}

impl HistoryFileError {
    /// Makes an error of the system's reason.
    fn io(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> HistoryFileError {
        let path = path.to_owned();
        move |error| HistoryFileError::Io { path, what, error }
    }
}

impl HistoryFile {
    /// Reads a file. One that is missing has no content yet.
    ///
    /// # Errors
    /// Fails if it cannot be read, is damaged or something else.
    pub fn open(path: impl Into<PathBuf>) -> Result<HistoryFile, HistoryFileError> {
        let path = path.into();
        let content = match fs::read(&path) {
            Ok(bytes) => decode(&path, &bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(HistoryFileError::Io { path, what: "read", error }),
        };
        Ok(HistoryFile(Arc::new(Inner { path, content })))
    }

    /// Writes what it contains, to find out at once whether that is possible.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn check_writable(&self) -> Result<(), HistoryFileError> {
        self.save(&self.0.content)
    }

    /// What it contained when it was opened.
    pub(crate) fn content(&self) -> &Content {
        &self.0.content
    }

    /// Replaces the file.
    pub(crate) fn save(&self, content: &Content) -> Result<(), HistoryFileError> {
        let path = &self.0.path;
        let bytes = encode(content).map_err(HistoryFileError::io(path, "written"))?;
        let mut next = path.clone().into_os_string();
        next.push(".new");
        let next = PathBuf::from(next);
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        write().map_err(HistoryFileError::io(&next, "written"))?;
        fs::rename(&next, path).map_err(HistoryFileError::io(path, "replaced"))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // After a crash of the machine, the new name would otherwise perhaps still be the old file's.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(HistoryFileError::io(folder, "synchronized"))
    }
}

/// Files are the same if they are at the same path.
impl PartialEq for HistoryFile {
    fn eq(&self, other: &HistoryFile) -> bool {
        self.0.path == other.0.path
    }
}

impl Eq for HistoryFile {}

fn encode(content: &Content) -> std::io::Result<Vec<u8>> {
    let content = rmp_serde::to_vec_named(content).map_err(std::io::Error::other)?;
    Ok([MAGIC, Sha256::digest(&content).as_slice(), &content].concat())
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Content, HistoryFileError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| HistoryFileError::Foreign(path.to_owned()))?;
    let damaged = || HistoryFileError::Damaged(path.to_owned());
    let (digest, content) = rest.split_at_checked(DIGEST_BYTES).ok_or_else(damaged)?;
    if Sha256::digest(content).as_slice() != digest {
        return Err(damaged());
    }
    rmp_serde::from_slice(content).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        let mut recorder = Recorder::new(1_700_000_000_000);
        recorder.record(1_700_000_000_000, Some(5));
        recorder.record(1_700_000_400_000, Some(8));
        Content { saved_at: 1_700_000_400_000, counters: vec![("online".to_owned(), recorder)] }
    }

    #[test]
    fn a_file_contains_what_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let file = HistoryFile::open(&path).unwrap();
        assert_eq!(file.content(), &Content::default());
        file.save(&content()).unwrap();
        file.save(&content()).unwrap();
        assert_eq!(HistoryFile::open(&path).unwrap().content(), &content());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn what_a_crash_has_left_beside_the_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        HistoryFile::open(&path).unwrap().save(&content()).unwrap();
        fs::write(folder.path().join("history.new"), b"headcount history 1\nha").unwrap();
        let file = HistoryFile::open(&path).unwrap();
        assert_eq!(file.content(), &content());
        file.check_writable().unwrap();
        assert_eq!(HistoryFile::open(&path).unwrap().content(), &content());
    }

    #[test]
    fn whatever_byte_is_changed_or_missing_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let whole = encode(&content()).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for wrong in [&flipped[..], &whole[..at]] {
                fs::write(&path, wrong).unwrap();
                let error = HistoryFile::open(&path).unwrap_err().to_string();
                assert!(error.starts_with(path.to_str().unwrap()), "{error}");
                assert_eq!(fs::read(&path).unwrap(), wrong);
            }
        }
        fs::write(&path, &whole).unwrap();
        HistoryFile::open(&path).unwrap();
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile::open(folder.path().join("no/history")).unwrap();
        let error = file.check_writable().unwrap_err().to_string();
        assert!(error.contains("no/history"), "{error}");
    }
}
