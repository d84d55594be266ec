//! A viewer over HTTP/2: its stream shares a connection with others, so hyper keeps the socket, and a small task feeds
//! the response's body from the same frames as the engine's viewers see.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use headcount_drawing::Format;
use headcount_engine::Attachment;
use tokio::sync::mpsc;

use crate::admin::Phase;
use crate::feeds::{Feed, ViewerAttachment};
use crate::http::App;

/// The body of an HTTP/2 viewer's response. The viewer is counted once the first frame has been taken, and leaves when
/// the body is dropped, when it takes nothing for the stall limit, or when the node ends its streams.
///
/// # Errors
/// The node has no room for one more.
pub(in crate::http) fn body(
    app: &Arc<App>,
    feed: &Arc<Feed>,
    viewer: ViewerAttachment,
    format: Format,
) -> Result<Body, headcount_engine::Rejection> {
    let place = feed.frames().acquire_permit()?;
    // One frame at most waits for the viewer; behind it, the newest wins.
    let (sender, receiver) = mpsc::channel(1);
    let opening = headcount_wire::opening(format.content_type());
    let (pumping, feed) = (Arc::clone(app), Arc::clone(feed));
    app.http2_viewers.spawn(async move {
        pump(pumping, feed, viewer, opening, sender).await;
        drop(place);
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

async fn pump(app: Arc<App>, feed: Arc<Feed>, mut viewer: ViewerAttachment, opening: Bytes, body: mpsc::Sender<Bytes>) {
    let mut frames = feed.frames().frames();
    let mut phase = app.phase.clone();
    let mut first = BytesMut::from(opening);
    first.extend_from_slice(frames.borrow_and_update().bytes());
    if body.send(first.freeze()).await.is_err() {
        return;
    }
    let mut seated = false;
    loop {
        let place = match tokio::time::timeout(app.stall_limit, body.reserve()).await {
            Ok(Ok(place)) => place,
            // Gone, or stalled.
            Ok(Err(_)) | Err(_) => return,
        };
        if !std::mem::replace(&mut seated, true) {
            viewer.first_frame_sent();
        }
        let ending = tokio::select! {
            changed = frames.changed() => changed.is_err(),
            () = tokio::time::sleep(app.keepalive) => false,
            spread = ending(&mut phase) => {
                tokio::select! {
                    () = tokio::time::sleep(spread.mul_f64(rand::random())) => {}
                    // A second signal.
                    _ = phase.changed() => {}
                }
                true
            }
            () = body.closed() => return,
        };
        let frame = frames.borrow_and_update().clone();
        if ending {
            place.send(frame.ending());
            return;
        }
        place.send(frame.bytes().clone());
    }
}

/// Waits until streams are to end; gives the time over which they are spread.
async fn ending(phase: &mut tokio::sync::watch::Receiver<Phase>) -> Duration {
    match phase.wait_for(|phase| matches!(phase, Phase::Ending { .. })).await.as_deref() {
        Ok(Phase::Ending { spread }) => *spread,
        // The process ends without having said so: end at once.
        _ => Duration::ZERO,
    }
}
