//! The body of an HTTP/2 viewer's response. The stream shares its connection with others, so hyper keeps the socket and takes
//! the feed's frames from the body.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use headcount_engine::{Attachment, Frame, TurnOver, ViewerPermit};
use tokio::sync::watch;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::feeds::{Feed, ViewerAttachment};
use crate::http::app::App;
use crate::http::connection::{Stalled, ViewerStream, WriteProgress};
use crate::phase::{self, Phase};

/// Returns a body that streams the feed's frames, and the extension that its response must carry. The viewer counts once
/// the first frame has been written to the socket. It leaves when the body is dropped: when its client or the node ends the
/// stream, or when it takes nothing for the stall limit.
///
/// # Errors
/// Fails if the engine's limits leave no room for another viewer.
pub(super) fn body(
    app: &App,
    feed: &Arc<Feed>,
    attachment: ViewerAttachment,
    opening: Bytes,
) -> Result<(Body, ViewerStream), headcount_engine::Rejection> {
    let permit = feed.handle().acquire_permit()?;
    let progress = WriteProgress::of_this_stream();
    let viewer = Viewer {
        attachment: Some(attachment),
        feed: Arc::clone(feed),
        next: Next::Opening(opening),
        frames_sent: 0,
        number: rand::random::<u32>() as usize,
        frames: feed.handle().frames(),
        progress: Arc::clone(&progress),
        keepalive: app.keepalive,
        end: Box::pin(end(app.phase.clone(), feed.turn_over().is_some())),
        _permit: permit,
        _running: app.http2_viewers.token(),
    };
    let chunks = stream::unfold(viewer, |mut viewer| async move {
        let bytes = viewer.next().await.transpose()?;
        Some((bytes, viewer))
    });
    Ok((Body::from_stream(chunks), ViewerStream(progress)))
}

/// A viewer. It is dropped with its stream.
struct Viewer {
    /// `None` once its stream has been turned over.
    attachment: Option<ViewerAttachment>,
    feed: Arc<Feed>,
    next: Next,
    /// Frames since the first, those that keep the stream alive included.
    frames_sent: u16,
    /// Any number that stays the viewer's.
    number: usize,
    frames: watch::Receiver<Frame>,
    progress: Arc<WriteProgress>,
    /// Time after which an unchanged frame is sent again.
    keepalive: Duration,
    /// Returns when the node ends this stream.
    end: Pin<Box<dyn Future<Output = StreamEnd> + Send>>,
    _permit: ViewerPermit,
    /// Keeps the node from exiting before the last frame.
    _running: TaskTrackerToken,
}

/// Why the node ends a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    /// The node ends.
    Node,
    /// Another program follows, which cannot go on with it. Who comes back by itself counts meanwhile.
    Reload,
}

/// What a stream consists of, in this order.
enum Next {
    /// The stream's first bytes, apart from the first frame: all viewers share the frames.
    Opening(Bytes),
    FirstFrame,
    /// When it is read, the first one has been written.
    SecondFrame,
    Frame,
    Nothing,
}

impl Viewer {
    /// The next bytes. A frame is read only when the one before has been written: the newest wins, as in the engine.
    ///
    /// # Errors
    /// Fails if the client takes nothing. The stream is reset then.
    async fn next(&mut self) -> Result<Option<Bytes>, Stalled> {
        self.progress.written().await?;
        match std::mem::replace(&mut self.next, Next::Frame) {
            Next::Opening(opening) => {
                self.next = Next::FirstFrame;
                return Ok(Some(opening));
            }
            Next::FirstFrame => {
                self.next = Next::SecondFrame;
                return Ok(Some(self.frames.borrow_and_update().bytes().clone()));
            }
            Next::SecondFrame => self.first_frame_sent(),
            Next::Frame => {}
            Next::Nothing => return Ok(None),
        }
        if self.feed.turn_over().is_some_and(|turn_over| turn_over.is_due(self.frames_sent, self.number)) {
            if let Some(attachment) = self.attachment.take() {
                attachment.turned_over();
            }
            return Ok(None);
        }
        self.frames_sent = self.frames_sent.saturating_add(1);
        let end = tokio::select! {
            biased;
            end = &mut self.end => end,
            changed = self.frames.changed() => match changed {
                Ok(()) => return Ok(Some(self.frames.borrow_and_update().bytes().clone())),
                Err(_) => StreamEnd::Node,
            },
            () = tokio::time::sleep(self.keepalive) => return Ok(Some(self.frames.borrow().keepalive().clone())),
        };
        if end == StreamEnd::Reload
            && self.feed.turn_over().is_some()
            && let Some(attachment) = self.attachment.take()
        {
            attachment.turned_over();
        }
        self.next = Next::Nothing;
        Ok(Some(self.feed.handle().newest_frame().ending().clone()))
    }

    fn first_frame_sent(&mut self) {
        if let Some(attachment) = &mut self.attachment {
            attachment.first_frame_sent();
        }
    }
}

/// Returns when a stream must end: at a random time of the spread, of its end if the viewer comes back, or when a second signal
/// comes.
async fn end(mut phases: watch::Receiver<Phase>, comes_back: bool) -> StreamEnd {
    let spread = phase::http2_ending(&mut phases).await;
    let delay = if comes_back { TurnOver::drain_delay(spread) } else { Duration::ZERO };
    tokio::select! {
        () = tokio::time::sleep(delay + (spread - delay).mul_f64(rand::random())) => {}
        _ = phases.changed() => {}
    }
    if *phases.borrow() == Phase::Reloading { StreamEnd::Reload } else { StreamEnd::Node }
}
