//! [`FeedFrames`]: the frames of one feed, in its format.

use bytes::Bytes;
use headcount_drawing::Look;
use headcount_engine::Frame;
use headcount_presence::Reading;

use crate::draw_queue::{DrawQueue, DrawQueueFull};
use crate::event_frames::EventFrames;
use crate::feed::FeedKey;
use crate::feed_pictures::FeedPictures;
use crate::html_frames::HtmlFrames;
use crate::look_limits::LookOwner;

/// The frames of one feed, and what the newest of them shows.
pub(crate) enum FeedFrames {
    /// Pictures: drawing them takes time, so they wait for their turn, and those that streams end with are drawn when streams
    /// are about to end.
    Pictures(Box<FeedPictures>),
    /// Text. Each frame brings what streams end with.
    Html(HtmlFrames),
    /// Numbers. Each frame brings what streams end with.
    Events(EventFrames),
}

impl FeedFrames {
    /// Makes a feed's first frame.
    ///
    /// # Errors
    /// Fails if it is a picture that cannot be drawn soon.
    pub(crate) async fn begin(
        queue: &DrawQueue,
        key: &FeedKey,
        small: u64,
        reading: &Reading,
        owner: LookOwner,
    ) -> Result<(Self, Frame), DrawQueueFull> {
        let Some(format) = key.format.pictures() else { return Ok(Self::of_text(key, small, reading, None)) };
        let (pictures, frame) = FeedPictures::begin(queue, key.look.clone(), format, small, reading, owner).await?;
        Ok((Self::Pictures(Box::new(pictures)), frame))
    }

    /// Goes on from the [content](Self::content) of a former program's newest frame.
    pub(crate) fn resume(
        queue: &DrawQueue,
        key: &FeedKey,
        small: u64,
        reading: &Reading,
        owner: LookOwner,
        former: Bytes,
    ) -> (Self, Frame) {
        let Some(format) = key.format.pictures() else { return Self::of_text(key, small, reading, Some(&former)) };
        let look = key.look.clone();
        let (pictures, frame) = FeedPictures::resume(queue, look, format, small, reading, owner, former);
        (Self::Pictures(Box::new(pictures)), frame)
    }

    fn of_text(key: &FeedKey, small: u64, reading: &Reading, former: Option<&[u8]>) -> (Self, Frame) {
        if key.format == crate::stream_format::StreamFormat::Events {
            let (frames, frame) = EventFrames::begin(key.counter.clone(), small, reading);
            return (Self::Events(frames), frame);
        }
        let look: Look = key.look.clone();
        let (frames, frame) = HtmlFrames::begin(look, small, reading, former);
        (Self::Html(frames), frame)
    }

    /// Whether the newest frame shows something else than one of this reading would.
    pub(crate) fn are_outdated_by(&self, reading: &Reading) -> bool {
        match self {
            Self::Pictures(pictures) => pictures.are_outdated_by(reading),
            Self::Html(frames) => frames.are_outdated_by(reading),
            Self::Events(frames) => frames.are_outdated_by(reading),
        }
    }

    /// Makes the frame of what is the newest reading when its turn has come. `None` if it would show the same.
    pub(crate) async fn next(&mut self, queue: &DrawQueue, newest: impl FnOnce() -> Reading) -> Option<Frame> {
        let reading = match self {
            Self::Pictures(pictures) => return pictures.draw_change(queue, newest).await,
            Self::Html(_) | Self::Events(_) => newest(),
        };
        match self {
            _ if !self.are_outdated_by(&reading) => None,
            Self::Html(frames) => Some(frames.frame(&reading)),
            Self::Events(frames) => Some(frames.frame(&reading)),
            Self::Pictures(_) => None,
        }
    }

    /// Makes what streams end with: what is the newest reading then, as stale. `None` if the newest frame brings it
    /// already.
    pub(crate) async fn last(&mut self, queue: &DrawQueue, newest: impl FnOnce() -> Reading) -> Option<Bytes> {
        match self {
            Self::Pictures(pictures) => pictures.draw_last(queue, newest).await,
            Self::Html(_) | Self::Events(_) => None,
        }
    }

    /// What a new program needs of a feed's newest frame: its picture, or its bytes.
    pub(crate) fn content(key: &FeedKey, frame: &Frame) -> Bytes {
        let bytes = frame.bytes().clone();
        match key.format.pictures() {
            Some(format) => headcount_wire::Part::from_bytes(bytes, format.content_type())
                .map(|part| part.image())
                .unwrap_or_default(),
            None => bytes,
        }
    }
}
