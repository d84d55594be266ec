//! [`Scanner`]: reads a stream of any format, and returns what each frame shows.

use std::rc::Rc;

use headcount_wire::{
    Delimiter, PartScanner,
    events::{self, EventReader},
    html::{self, Liveness, UpdateReader},
};
use serde::Deserialize;

use super::{
    complaint::{Complaint, TextError},
    pictures::{Freshness, PictureCache, PictureCheck, Shown},
};

/// Reads one stream.
#[derive(Debug)]
pub(crate) enum Scanner {
    Parts(Rc<Delimiter>, PartScanner),
    Events(Box<EventReader>),
    Html(Box<UpdateReader>),
}

#[derive(Deserialize)]
struct EventData {
    count: Option<u64>,
    stale: bool,
    epoch: u64,
    version: Option<u64>,
}

impl Scanner {
    /// A scanner for a response of text. `None` if its `Content-Type` is that of no such stream.
    pub(crate) fn of_text(content_type: &str) -> Option<Self> {
        let kind = |content_type: &str| content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind(content_type) {
            it if it == kind(events::CONTENT_TYPE) => Some(Self::Events(Box::default())),
            it if it == kind(html::CONTENT_TYPE) => Some(Self::Html(Box::default())),
            _ => None,
        }
    }

    /// Reads `bytes`, and calls `on_frame` with what each frame shows that they complete. `query` is what pictures were
    /// requested with.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        pictures: &mut PictureCache,
        (query, check): (&str, PictureCheck),
        mut on_frame: impl FnMut(Shown) -> Result<(), Complaint>,
    ) -> Result<(), Complaint> {
        match self {
            Self::Parts(delimiter, scanner) => {
                scanner.push(delimiter, bytes, |image| on_frame(pictures.check(image, query, check)?))
            }
            Self::Events(reader) => {
                reader.push(bytes).map_err(TextError::from)?;
                while let Some(event) = reader.next_event() {
                    on_frame(of_event(&event.data)?)?;
                }
                Ok(())
            }
            Self::Html(reader) => {
                reader.push(bytes).map_err(TextError::from)?;
                while let Some(update) = reader.next_update() {
                    let freshness =
                        if update.liveness == Liveness::Stale { Freshness::Stale } else { Freshness::Fresh };
                    on_frame(Shown { number: update.text.parse().ok(), epoch: 0, version: 0, freshness })?;
                }
                Ok(())
            }
        }
    }

    /// Whether the stream has said that it ends. Streams of text do not.
    pub(crate) fn ended(&self) -> bool {
        matches!(self, Self::Parts(_, scanner) if scanner.ended())
    }

    /// Whether the bytes so far stop inside a picture.
    pub(crate) fn inside_frame(&self) -> bool {
        matches!(self, Self::Parts(_, scanner) if scanner.inside_image())
    }
}

fn of_event(data: &str) -> Result<Shown, TextError> {
    let EventData { count, stale, epoch, version } =
        serde_json::from_str(data).map_err(|source| TextError::Event { data: data.to_owned(), source })?;
    let freshness = if stale { Freshness::Stale } else { Freshness::Fresh };
    Ok(Shown { number: count, epoch, version: version.unwrap_or(0), freshness })
}
