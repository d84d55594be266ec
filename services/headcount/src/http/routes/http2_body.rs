//! The body of an HTTP/2 viewer's response. The stream shares its connection with others, so hyper keeps the socket, and a
//! task sends the feed's frames into the body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use headcount_drawing::Format;
use headcount_engine::Attachment;
use tokio::sync::{mpsc, watch};

use crate::feeds::{Feed, ViewerAttachment};
use crate::http::app::App;
use crate::phase::Phase;

/// Returns a body that streams the feed's frames. The viewer counts once hyper has taken the first frame. It leaves when
/// the body is dropped, when it takes nothing for the stall limit, or when the node ends its streams.
///
/// # Errors
/// Fails if the engine's limits leave no room for another viewer.
pub(super) fn body(
    app: &Arc<App>,
    feed: &Arc<Feed>,
    attachment: ViewerAttachment,
    format: Format,
) -> Result<Body, headcount_engine::Rejection> {
    let permit = feed.handle().acquire_permit()?;
    // At most one frame waits for the viewer. The next one is the newest at that time.
    let (sender, receiver) = mpsc::channel(1);
    let opening = headcount_wire::opening(format.content_type());
    let (task_app, feed) = (Arc::clone(app), Arc::clone(feed));
    app.http2_viewers.spawn(async move {
        send_frames(task_app, feed, attachment, opening, sender).await;
        drop(permit);
    });
    Ok(Body::new(ChannelBody(receiver)))
}

struct ChannelBody(mpsc::Receiver<Bytes>);

impl http_body::Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

async fn send_frames(
    app: Arc<App>,
    feed: Arc<Feed>,
    mut attachment: ViewerAttachment,
    opening: Bytes,
    body: mpsc::Sender<Bytes>,
) {
    let mut frames = feed.handle().frames();
    let mut phase = app.phase.clone();
    let mut first = BytesMut::from(opening);
    first.extend_from_slice(frames.borrow_and_update().bytes());
    if body.send(first.freeze()).await.is_err() {
        return;
    }
    let mut first_sent = false;
    loop {
        let slot = match tokio::time::timeout(app.stall_limit, body.reserve()).await {
            Ok(Ok(slot)) => slot,
            // The viewer has left or stalled.
            Ok(Err(_)) | Err(_) => return,
        };
        if !std::mem::replace(&mut first_sent, true) {
            attachment.first_frame_sent();
        }
        let is_last = tokio::select! {
            changed = frames.changed() => changed.is_err(),
            () = tokio::time::sleep(app.keepalive) => false,
            spread = streams_end(&mut phase) => {
                tokio::select! {
                    () = tokio::time::sleep(spread.mul_f64(rand::random())) => {}
                    // A second signal has come.
                    _ = phase.changed() => {}
                }
                true
            }
            () = body.closed() => return,
        };
        let frame = frames.borrow_and_update().clone();
        if is_last {
            slot.send(frame.ending());
            return;
        }
        slot.send(frame.bytes().clone());
    }
}

/// Waits until streams must end. Returns the time over which their ends are spread.
async fn streams_end(phase: &mut watch::Receiver<Phase>) -> Duration {
    match phase.wait_for(|phase| matches!(phase, Phase::Ending { .. })).await.as_deref() {
        Ok(Phase::Ending { spread }) => *spread,
        // The process exits: end at once.
        _ => Duration::ZERO,
    }
}
