//! The owner's side of a feed: publishes frames to it and adds viewers.

use std::fmt;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headcount_wire::Frame;
use tokio::sync::watch;

use crate::feed_state::FeedState;
use crate::inbox::Newcomer;
use crate::viewer_limits::ViewerPermit;
use crate::{RejectedViewer, Rejection, socket};

/// Publishes frames to a group of viewers, who all see the newest. Clones are handles of the same feed. When the last is
/// dropped, the feed's viewers receive the newest image once more and a clean end.
pub struct FeedHandle<A>(Arc<Shared<A>>);

struct Shared<A> {
    state: Arc<FeedState<A>>,
    keepalive: Duration,
    stall_limit: Duration,
}

impl<A> Drop for Shared<A> {
    fn drop(&mut self) {
        self.state.end();
    }
}

impl<A> FeedHandle<A> {
    pub(crate) fn new(state: Arc<FeedState<A>>, keepalive: Duration, stall_limit: Duration) -> Self {
        Self(Arc::new(Shared { state, keepalive, stall_limit }))
    }

    /// Pushes `frame` to all viewers: immediately after a quiet time, otherwise as soon as the pace allows. Replaces a
    /// frame that is still waiting.
    pub fn publish(&self, frame: Frame) {
        self.0.state.publish(frame);
    }

    /// When the pace allows the next frame. A frame that is published earlier waits until then, so its owner need not make
    /// it earlier.
    pub fn next_frame_due(&self) -> Instant {
        self.0.state.next_frame_due()
    }

    /// The frame that each pass starts with, for streams that the engine does not write itself.
    pub fn frames(&self) -> watch::Receiver<Frame> {
        self.0.state.subscribe()
    }

    /// The number of viewers, including those not yet added by a shard and all [`ViewerPermit`]s.
    pub fn viewers(&self) -> usize {
        self.0.state.load().viewers()
    }

    /// Checks whether a viewer would be accepted now, while the caller can still answer with an HTTP status.
    ///
    /// # Errors
    /// [`Rejection::Full`] or [`Rejection::CounterFull`]. `Ok` reserves nothing: another viewer may come first.
    pub fn has_room(&self) -> Result<(), Rejection> {
        self.0.state.load().check()
    }

    /// Counts a viewer whose stream the engine does not write itself, within the same limits and metrics.
    ///
    /// # Errors
    /// [`Rejection::Full`] or [`Rejection::CounterFull`].
    pub fn acquire_permit(&self) -> Result<ViewerPermit, Rejection> {
        ViewerPermit::acquire(self.0.state.load())
    }

    /// Takes ownership of a viewer's socket. The first write is `head` (the response's head and the stream's opening)
    /// together with the newest frame.
    ///
    /// # Errors
    /// Returns the viewer with the reason.
    // Not inlined: `benches/instructions.rs` counts it by name.
    #[inline(never)]
    pub fn adopt(&self, socket: TcpStream, head: Bytes, attachment: A) -> Result<(), RejectedViewer<A>> {
        let Shared { state, keepalive, stall_limit } = &*self.0;
        let permit = match ViewerPermit::acquire(state.load()) {
            Ok(permit) => permit,
            Err(rejection) => return Err(RejectedViewer { socket, attachment, rejection }),
        };
        if let Err(error) = socket::configure(&socket, *keepalive, *stall_limit) {
            return Err(RejectedViewer { socket, attachment, rejection: Rejection::Socket(error) });
        }
        let newcomer = Newcomer { socket: socket.into(), head, attachment, permit, feed: Arc::clone(state) };
        state.least_loaded().join(newcomer).map_err(|(newcomer, rejection)| RejectedViewer {
            socket: newcomer.socket.into(),
            attachment: newcomer.attachment,
            rejection,
        })
    }
}

impl<A> Clone for FeedHandle<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for FeedHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedHandle").field("id", &self.0.state.id).field("viewers", &self.viewers()).finish()
    }
}
