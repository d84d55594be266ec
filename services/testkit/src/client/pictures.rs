//! [`PictureCache`]: decodes and checks pictures. Thousands of viewers receive the same few pictures, so each is checked
//! once and remembered for a while.

use std::collections::VecDeque;

use headcount_drawing::{Artist, Count, Figure, Look, Stamp, StampError, read_stamp};
use serde::{Deserialize, Serialize};

/// The number of pictures remembered. A push reaches all viewers within moments, so a few looks and counters fit.
const REMEMBERED: usize = 16;

/// How strictly pictures are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureCheck {
    /// Not at all; the stream is that of another server, without stamps.
    Framing,
    /// Each picture must decode and carry a stamp.
    #[default]
    Stamp,
    /// Its pixels must also be those that the artist draws for the stamp's number.
    Pixels,
}

/// What a viewer was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// `None` where the picture hides it, or carries none.
    pub(crate) number: Option<u64>,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) freshness: Freshness,
}

/// Whether the picture is marked as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    Stale,
}

/// What is wrong with a picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It carries no number.
    #[error("a picture of {bytes} bytes carries no stamp: {source}")]
    Stamp {
        /// The picture's size.
        bytes: usize,
        /// The error of reading the stamp.
        source: StampError,
    },
    /// It is no image.
    #[error("a picture of {bytes} bytes does not decode: {source}")]
    Decode {
        /// The picture's size.
        bytes: usize,
        /// The decoder's error.
        source: image::ImageError,
    },
    /// Its pixels do not show what its stamp says.
    #[error("the pixels are not those of {stamp} with the look {look:?}")]
    Pixels {
        /// The stamp.
        stamp: String,
        /// The look that was requested.
        look: String,
    },
}

/// The pictures seen lately.
pub(crate) struct PictureCache {
    recent: VecDeque<(Vec<u8>, Shown)>,
    artist: Option<Artist>,
}

impl PictureCache {
    pub(crate) fn new() -> Self {
        Self { recent: VecDeque::with_capacity(REMEMBERED), artist: None }
    }

    /// Checks `image`, which was requested with this query, and returns what it shows.
    pub(crate) fn check(&mut self, image: &[u8], query: &str, check: PictureCheck) -> Result<Shown, PictureError> {
        if check == PictureCheck::Framing {
            return Ok(Shown { number: None, epoch: 0, version: 0, freshness: Freshness::Fresh });
        }
        if let Some((_, shown)) = self.recent.iter().find(|(known, _)| known == image) {
            return Ok(*shown);
        }
        let bytes = image.len();
        let stamp = read_stamp(image).map_err(|source| PictureError::Stamp { bytes, source })?;
        let decoded = image::load_from_memory(image).map_err(|source| PictureError::Decode { bytes, source })?;
        let (number, fewer_than) = match stamp.count {
            Count::Exactly(number) => (Some(number), None),
            Count::FewerThan(bound) => (None, Some(bound)),
        };
        let lossless = image.starts_with(b"\x89PNG");
        if check == PictureCheck::Pixels && lossless {
            let Stamp { epoch, version, stale, .. } = stamp;
            let figure = Figure { number: number.unwrap_or(0), epoch, version, stale, fewer_than };
            let drawn = Look::from_query(query)
                .map(|look| self.artist.get_or_insert_with(Artist::new).pixels(&look, &figure))
                .ok();
            if drawn.as_ref() != Some(&decoded.to_rgba8()) {
                return Err(PictureError::Pixels { stamp: stamp.to_string(), look: query.into() });
            }
        }
        let freshness = if stamp.stale { Freshness::Stale } else { Freshness::Fresh };
        let shown = Shown { number, epoch: stamp.epoch, version: stamp.version, freshness };
        self.recent.truncate(REMEMBERED - 1);
        self.recent.push_front((image.to_vec(), shown));
        Ok(shown)
    }
}
