//! The viewer engine: holds the sockets of all live viewers of a node and pushes each new frame to them.
//!
//! An [`Engine`] runs a few shards, each one thread with one poller that owns its viewers' sockets outright. A
//! [`FeedHandle`] is what a group of viewers sees: one newest [`Frame`](headcount_wire::Frame), which all of them share.
//! A viewer costs no task and no buffer; one that does not take its bytes in time is *lagging*, and only then has
//! state of its own. The newest frame wins: nobody has a queue.
//!
//! What happens to a frame, file by file: `feed_handle` takes it in, `feed_state` decides by `pace` when it is shown, `inbox`
//! carries the word to the shards, `shard` makes the pass over the viewers, `shard::viewer` writes it to one socket.

mod engine;
mod feed_handle;
mod feed_state;
mod inbox;
mod metrics;
mod pace;
mod settings;
mod shard;
mod socket;
mod viewer_limits;

pub use engine::Engine;
pub use feed_handle::{FeedHandle, RejectedViewer, Rejection};
pub use settings::{FeedLabel, Settings};
pub use viewer_limits::ViewerPermit;

/// What rides along with a viewer, and is dropped when the viewer has gone, on a shard's thread.
///
/// Its methods and its drop hold up all viewers of the shard, so they must be short and must not block.
pub trait Attachment: Send + 'static {
    /// The viewer has its first image: the response's head and the newest frame have been written to the last byte.
    /// Called once at most; never for a viewer that leaves before.
    fn first_frame_sent(&mut self);
}
