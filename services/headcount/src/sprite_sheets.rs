//! [`SpriteSheets`]: the digits of sets of sprites as files of their own, which documents link and browsers keep.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use headcount_drawing::{SetName, SpriteSet};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

/// Bytes of the file's SHA-256 in its name: two files of one set have different names.
const HASH_BYTES: usize = 8;

/// A PNG with the digits of one set below one another.
#[derive(Debug)]
pub(crate) struct SpriteSheet {
    path: String,
    digit_aspect: f32,
    png: Bytes,
}

impl SpriteSheet {
    /// The file of a set. Takes as long as its first picture, unless it has been made before.
    pub(crate) fn of(name: &SetName, set: &SpriteSet) -> Self {
        let png = Bytes::copy_from_slice(set.digits_png());
        let hash: String = Sha256::digest(&png)[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { path: format!("/sprites/{name}-{hash}.png"), digit_aspect: set.digit_aspect(), png }
    }

    /// The path that it is served at. It names the content.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The width of a digit in its height.
    pub(crate) fn digit_aspect(&self) -> f32 {
        self.digit_aspect
    }

    /// The file.
    pub(crate) fn png(&self) -> &Bytes {
        &self.png
    }
}

/// Returns the name of the set that a path would be the sheet of, whether there is such a set or not.
pub(crate) fn set_of_path(path: &str) -> Option<SetName> {
    let (name, hash) = path.strip_prefix("/sprites/")?.strip_suffix(".png")?.rsplit_once('-')?;
    let is_hash = hash.len() == 2 * HASH_BYTES && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    SetName::parse(name).filter(|_| is_hash)
}

/// The sheets of all sets, each made once: of as many sets as there are.
#[derive(Debug, Default)]
pub(crate) struct SpriteSheets(Mutex<HashMap<SetName, Arc<OnceCell<Arc<SpriteSheet>>>>>);

impl SpriteSheets {
    /// The place of a set's sheet. Whoever finds it empty makes the sheet, and others wait.
    pub(crate) fn cell(&self, name: &SetName) -> Arc<OnceCell<Arc<SpriteSheet>>> {
        Arc::clone(self.0.lock().entry(name.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_sets() {
        let name = |path| set_of_path(path).map(|name| name.as_str().to_owned());
        assert_eq!(name("/sprites/a-b-0123456789abcdef.png").as_deref(), Some("a-b"));
        for path in [
            "/sprites/a.png",
            "/sprites/-0123456789abcdef.png",
            "/sprites/../a-0123456789abcdef.png",
            "/sprites/a-0123456789ABCDEF.png",
            "/sprites/a-0123456789abcdef0.png",
            "/sprites/a-0123456789abcdef.jpg",
            "/other/a-0123456789abcdef.png",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }
}
