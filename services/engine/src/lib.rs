//! The viewer engine: owns the sockets of a node's live viewers and pushes each new frame to them.
//!
//! An [`Engine`] runs a few shards. Each shard is one thread with one poller and owns its viewers' sockets. A
//! [`FeedHandle`] publishes frames to a group of viewers, who share the newest [`Frame`]. What its bytes mean
//! is the business of whoever makes them: multipart parts, HTML, events.
//! A viewer has no task, no buffer and no queue: one that does not take its bytes in time is *lagging*, and only a lagging
//! viewer has state of its own. The newest frame replaces older ones.
//!
//! The path of a frame: `feed_handle` receives it, `feed_state` starts a pass when `pace` allows, `inbox` notifies the
//! shards, `shard` visits the viewers, and `shard::viewer` writes to one socket.

mod attachment;
mod engine;
mod feed_handle;
mod feed_state;
mod frame;
mod held_viewer;
mod inbox;
mod metrics;
mod pace;
mod rejection;
mod settings;
mod shard;
mod socket;
mod viewer_limits;

pub use attachment::Attachment;
pub use engine::Engine;
pub use feed_handle::FeedHandle;
pub use frame::Frame;
pub use held_viewer::{HeldViewer, StreamProgress};
pub use rejection::{RejectedViewer, Rejection};
pub use settings::{FeedLabel, FeedSettings, Settings, TurnOver};
pub use viewer_limits::ViewerPermit;
