//! The body of an HTTP/2 viewer's response. The stream shares its connection with others, so hyper keeps the socket, and a
//! task sends the feed's frames into the body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use headcount_drawing::Format;
use headcount_engine::Attachment;
use tokio::sync::{mpsc, oneshot};

use crate::feeds::{Feed, ViewerAttachment};
use crate::http::app::App;
use crate::http::connection::{FirstFrameSent, stream_reset};
use crate::phase;

/// Returns a body that streams the feed's frames, and the extension that its response must carry. The viewer counts once
/// the first frame has been written to the socket. It leaves when the body is dropped, when it takes nothing for the stall
/// limit, or when the node ends its streams.
///
/// # Errors
/// Fails if the engine's limits leave no room for another viewer.
pub(super) fn body(
    app: &Arc<App>,
    feed: &Arc<Feed>,
    attachment: ViewerAttachment,
    format: Format,
) -> Result<(Body, FirstFrameSent), headcount_engine::Rejection> {
    let permit = feed.handle().acquire_permit()?;
    // At most one frame waits for the viewer. The next one is the newest at that time.
    let (sender, receiver) = mpsc::channel(1);
    let opening = headcount_wire::opening(format.content_type());
    let (extension, first_sent) = FirstFrameSent::channel();
    let (task_app, feed) = (Arc::clone(app), Arc::clone(feed));
    let reset = stream_reset();
    app.http2_viewers.spawn(async move {
        if send_frames(task_app, feed, attachment, opening, sender, first_sent).await == StreamEnd::Stalled {
            reset.cancel();
        }
        drop(permit);
    });
    Ok((Body::new(ChannelBody(receiver)), extension))
}

/// How a viewer's stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    /// The viewer has left.
    Left,
    /// The viewer has read nothing for the stall limit.
    Stalled,
    /// The node has sent the last frame.
    Ended,
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
    first_sent: oneshot::Receiver<()>,
) -> StreamEnd {
    let mut frames = feed.handle().frames();
    let mut phases = app.phase.clone();
    let mut first = BytesMut::from(opening);
    first.extend_from_slice(frames.borrow_and_update().bytes());
    if body.send(first.freeze()).await.is_err() {
        return StreamEnd::Left;
    }
    // hyper takes the first frame from the channel as soon as the client's window has room for one byte of it.
    match tokio::time::timeout(app.stall_limit, first_sent).await {
        Ok(Ok(())) => attachment.first_frame_sent(),
        Ok(Err(_)) => return StreamEnd::Left,
        Err(_) => return StreamEnd::Stalled,
    }
    loop {
        let slot = match tokio::time::timeout(app.stall_limit, body.reserve()).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) => return StreamEnd::Left,
            Err(_) => return StreamEnd::Stalled,
        };
        let is_last = tokio::select! {
            changed = frames.changed() => changed.is_err(),
            () = tokio::time::sleep(app.keepalive) => false,
            spread = phase::ending(&mut phases) => {
                tokio::select! {
                    () = tokio::time::sleep(spread.mul_f64(rand::random())) => {}
                    // A second signal has come.
                    _ = phases.changed() => {}
                }
                true
            }
            () = body.closed() => return StreamEnd::Left,
        };
        let frame = frames.borrow_and_update().clone();
        if is_last {
            slot.send(frame.ending());
            return StreamEnd::Ended;
        }
        slot.send(frame.bytes().clone());
    }
}
