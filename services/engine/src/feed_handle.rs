//! The owner's side of a feed: publishes frames to it and adds viewers.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use crate::feed_state::FeedState;
use crate::inbox::{Newcomer, Start};
use crate::viewer_limits::ViewerPermit;
use crate::{Frame, HeldViewer, RejectedViewer, Rejection, socket};

/// Publishes frames to a group of viewers, who all see the newest. Clones are handles of the same feed. When the last is
/// dropped, the feed's streams end with the newest frame's ending.
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

    /// From now on, streams end with `ending` instead of the newest frame's. Nothing is sent for that, and it holds until
    /// another frame is published, which brings its own ([`Frame::with_ending`]).
    pub fn set_ending(&self, ending: impl Into<Bytes>) {
        self.0.state.set_ending(ending.into());
    }

    /// The newest frame, even if the pace has not allowed a pass with it yet: what streams end with.
    pub fn newest_frame(&self) -> Frame {
        self.0.state.newest()
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

    /// Counts a viewer whose stream the engine does not write itself, within the same limits and metrics.
    ///
    /// # Errors
    /// [`Rejection::Full`] or [`Rejection::CounterFull`].
    pub fn acquire_permit(&self) -> Result<ViewerPermit, Rejection> {
        ViewerPermit::acquire(self.0.state.load())
    }

    /// Takes ownership of a viewer's socket. The first write is `head` (the response's head and the format's opening)
    /// together with the newest frame.
    ///
    /// # Errors
    /// Returns the viewer with the reason.
    // Not inlined: `benches/instructions.rs` counts it by name.
    #[inline(never)]
    pub fn adopt(&self, socket: TcpStream, head: Bytes, attachment: A) -> Result<(), RejectedViewer<A>> {
        match ViewerPermit::acquire(self.0.state.load()) {
            Ok(permit) => self.add(socket, Start::Head(head), attachment, permit),
            Err(rejection) => Err(RejectedViewer { socket, attachment, rejection }),
        }
    }

    /// Goes on with a viewer that another engine held: the rest of its part follows, then the newest frame. The limits of
    /// viewers do not apply to it, because it is here already; it counts under them.
    ///
    /// # Errors
    /// Returns the viewer with the reason, which is that its socket is broken or the engine stops.
    pub fn resume(&self, viewer: HeldViewer<A>) -> Result<(), RejectedViewer<A>> {
        let HeldViewer { socket, attachment, progress } = viewer;
        let permit = ViewerPermit::acquire_beyond_limits(self.0.state.load());
        self.add(socket.into(), Start::Resume(progress), attachment, permit)
    }

    fn add(
        &self,
        socket: TcpStream,
        start: Start,
        attachment: A,
        permit: ViewerPermit,
    ) -> Result<(), RejectedViewer<A>> {
        let Shared { state, keepalive, stall_limit } = &*self.0;
        if let Err(error) = socket::configure(&socket, *keepalive, *stall_limit) {
            return Err(RejectedViewer { socket, attachment, rejection: Rejection::Socket(error) });
        }
        let newcomer = Newcomer { socket: socket.into(), start, attachment, permit, feed: Arc::clone(state) };
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
