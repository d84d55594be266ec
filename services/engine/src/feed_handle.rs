//! The handle of a feed: publish frames to it, and bring it viewers.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headcount_wire::Frame;
use tokio::sync::watch;

use crate::feed_state::FeedState;
use crate::inbox::Newcomer;
use crate::socket;
use crate::viewer_limits::ViewerPermit;

/// Why a viewer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The engine holds as many viewers as it may.
    #[error("the node holds as many viewers as it may")]
    Full,
    /// The label holds as many viewers as one may.
    #[error("the counter holds as many viewers as it may")]
    CounterFull,
    /// More viewers come than the shards can take in.
    #[error("too many viewers come at once")]
    Busy,
    /// The engine is being drained, or was dropped.
    #[error("the node is shutting down")]
    Draining,
    /// The socket is unusable; most likely its peer has gone already.
    #[error("the socket cannot be used")]
    Socket(#[source] io::Error),
}

/// A viewer that was not taken, given back whole: its socket is still open, though set to non-blocking, and nothing
/// has been written to it.
#[derive(Debug)]
pub struct RejectedViewer<A> {
    /// The viewer's socket.
    pub socket: TcpStream,
    /// The viewer's attachment.
    pub attachment: A,
    /// Why.
    pub refusal: Rejection,
}

/// What a group of viewers sees: one newest frame. Clones are handles of the same feed; when the last is dropped, its
/// viewers get the newest image once more and a clean end.
pub struct FeedHandle<A>(Arc<Handle<A>>);

struct Handle<A> {
    schedule: Arc<FeedState<A>>,
    keepalive: Duration,
    stall_limit: Duration,
}

impl<A> Drop for Handle<A> {
    fn drop(&mut self) {
        self.schedule.end();
    }
}

impl<A> FeedHandle<A> {
    pub(crate) fn new(schedule: Arc<FeedState<A>>, keepalive: Duration, stall_limit: Duration) -> Self {
        Self(Arc::new(Handle { schedule, keepalive, stall_limit }))
    }

    /// Shows `frame` to all: at once after a quiet time, otherwise as soon as the pace allows. A newer frame takes the
    /// place of one that still waits.
    pub fn publish(&self, frame: Frame) {
        self.0.schedule.publish(frame);
    }

    /// The frames that the passes begin with, by the viewers' clock; for streams that the engine does not write itself.
    pub fn frames(&self) -> watch::Receiver<Frame> {
        self.0.schedule.watch()
    }

    /// The feed's viewers, including those on their way into a shard and the [`ViewerPermit`]s taken.
    pub fn viewers(&self) -> usize {
        self.0.schedule.audience.viewers()
    }

    /// Why a viewer that came now would be refused: to be asked while a proper answer can still be given.
    ///
    /// # Errors
    /// The refusal. `Ok` is no promise: another viewer may take the last place.
    pub fn has_room(&self) -> Result<(), Rejection> {
        self.0.schedule.audience.refusal().map_or(Ok(()), Err)
    }

    /// Counts a viewer whose stream the engine does not write itself, within the same limits and metrics.
    ///
    /// # Errors
    /// [`Rejection::Full`] or [`Rejection::CounterFull`].
    pub fn acquire_permit(&self) -> Result<ViewerPermit, Rejection> {
        ViewerPermit::take(&self.0.schedule.audience)
    }

    /// Takes over a viewer's socket. The first write is `head` (the response's head and the stream's opening) and the
    /// newest frame together.
    ///
    /// # Errors
    /// The viewer is given back, with the reason.
    // Kept apart for the instruction counts.
    #[inline(never)]
    pub fn adopt(&self, socket: TcpStream, head: Bytes, attachment: A) -> Result<(), RejectedViewer<A>> {
        let Handle { schedule, keepalive, stall_limit } = &*self.0;
        let place = match ViewerPermit::take(&schedule.audience) {
            Ok(place) => place,
            Err(refusal) => return Err(RejectedViewer { socket, attachment, refusal }),
        };
        if let Err(error) = socket::prepare(&socket, *keepalive, *stall_limit) {
            return Err(RejectedViewer { socket, attachment, refusal: Rejection::Socket(error) });
        }
        let newcomer = Newcomer { socket: socket.into(), head, attachment, place, feed: Arc::clone(schedule) };
        schedule.lightest().join(newcomer).map_err(|(newcomer, refusal)| RejectedViewer {
            socket: newcomer.socket.into(),
            attachment: newcomer.attachment,
            refusal,
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
        f.debug_struct("FeedHandle").field("id", &self.0.schedule.id).field("viewers", &self.viewers()).finish()
    }
}
