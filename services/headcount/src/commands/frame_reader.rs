//! [`FrameReader`]: reads a stream in any of its formats.

use anyhow::{Context, bail};
use headcount_drawing::{Count, Stamp};
use headcount_wire::events::EventReader;
use headcount_wire::html::{self, Liveness, UpdateReader};
use headcount_wire::{PartReader, events};
use serde::{Deserialize, Serialize};

/// What a frame says. A document has no more than the text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct WatchedFrame {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) visitors: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fewer_than: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shown: Option<String>,
    pub(super) stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_bytes: Option<usize>,
}

impl WatchedFrame {
    /// The number as it is shown.
    pub(super) fn text(&self) -> String {
        match (self.count, self.fewer_than, &self.shown) {
            (Some(count), _, _) => count.to_string(),
            (None, Some(bound), _) => format!("<{bound}"),
            (None, None, shown) => shown.clone().unwrap_or_default(),
        }
    }

    fn of_picture(picture: &[u8]) -> anyhow::Result<Self> {
        let Stamp { count, epoch, version, stale } = headcount_drawing::read_stamp(picture)?;
        let (count, fewer_than) = match count {
            Count::Exactly(count) => (Some(count), None),
            Count::FewerThan(bound) => (None, Some(bound)),
        };
        let (epoch, version, image_bytes) = (Some(epoch), Some(version), Some(picture.len()));
        Ok(Self { count, fewer_than, stale, epoch, version, image_bytes, ..Self::default() })
    }
}

/// Reads one stream.
pub(super) enum FrameReader {
    Pictures(Box<PartReader>),
    Html(UpdateReader),
    Events { reader: EventReader, has_begun: bool },
}

impl FrameReader {
    /// A reader for a response's `Content-Type`. `None` if it is that of no stream.
    pub(super) fn for_content_type(content_type: &str) -> Option<Self> {
        let media_type = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media_type(content_type) == events::CONTENT_TYPE {
            return Some(Self::Events { reader: EventReader::new(), has_begun: false });
        }
        if media_type(content_type) == media_type(html::CONTENT_TYPE) {
            return Some(Self::Html(UpdateReader::new()));
        }
        PartReader::for_content_type(content_type).map(|reader| Self::Pictures(Box::new(reader)))
    }

    /// Reads bytes of the body in the order in which they arrived.
    ///
    /// # Errors
    /// Fails if the stream is malformed.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Pictures(reader) => reader.push(bytes),
            Self::Html(reader) => reader.push(bytes)?,
            Self::Events { reader, .. } => reader.push(bytes)?,
        }
        Ok(())
    }

    /// Returns the next whole frame, or `None` if it is not complete yet.
    ///
    /// # Errors
    /// Fails if the stream is malformed, or if the frame is none of a counter.
    pub(super) fn next_frame(&mut self) -> anyhow::Result<Option<WatchedFrame>> {
        match self {
            Self::Pictures(reader) => reader.next_part()?.map(|part| WatchedFrame::of_picture(&part)).transpose(),
            Self::Html(reader) => Ok(reader.next_update().map(|update| WatchedFrame {
                count: update.text.parse().ok(),
                stale: update.liveness == Liveness::Stale,
                shown: Some(update.text),
                ..WatchedFrame::default()
            })),
            Self::Events { reader, has_begun } => {
                let Some(event) = reader.next_event() else { return Ok(None) };
                *has_begun = true;
                Ok(Some(serde_json::from_str(&event.data).context("an event is not that of a counter")?))
            }
        }
    }

    /// Checks that the stream may end here.
    ///
    /// # Errors
    /// Says what is missing.
    pub(super) fn check_end(&self) -> anyhow::Result<()> {
        match self {
            Self::Pictures(reader) if !reader.ended() => bail!("the stream ended without its closing boundary"),
            Self::Events { reader, has_begun: false } => {
                let retry = reader.retry().unwrap_or_default();
                bail!("the server has no room now: it asks to try again in {} s", retry.as_secs())
            }
            _ => Ok(()),
        }
    }
}
