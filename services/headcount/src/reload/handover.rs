//! [`Handover`]: everything that one run of the program leaves to the next.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use headcount_engine::HeldViewer;
use headcount_presence::{PresenceState, RegistrationState};
use serde::{Deserialize, Serialize};

use super::metrics::ReloadTotals;
use crate::feed::Counting;
use crate::options::OptionDigests;
use crate::returning_viewers::Absence;
use crate::stream_format::StreamFormat;

/// Everything that one run of the program leaves to the next.
pub(crate) struct Handover {
    /// What any other version can go on with too.
    pub(crate) ports: Ports,
    /// What this run knows of its viewers.
    pub(crate) node: NodeState,
}

/// The ports, and whoever waits there.
pub(crate) struct Ports {
    /// The public port.
    pub(crate) public: Listener,
    /// The admin port.
    pub(crate) admin: Listener,
    /// Accepted connections of the public port whose first request is not answered.
    pub(crate) waiting: Vec<Waiting>,
}

/// The viewers, and everything that belongs to them.
pub(crate) struct NodeState {
    /// Counters, sessions and keys.
    pub(crate) presence: PresenceState,
    /// The feeds that have viewers.
    pub(crate) looks: LooksState,
    /// The viewers.
    pub(crate) viewers: Vec<HeldViewer<DetachedViewer>>,
    /// Metrics of reloads, this one included.
    pub(crate) totals: ReloadTotals,
    /// What the options were.
    pub(crate) options: OptionDigests,
    /// When the last frame may have been sent before the viewers were held, by CLOCK_MONOTONIC.
    pub(crate) held_at: Duration,
}

/// A listening socket, and the address that the configuration gave it.
pub(crate) struct Listener {
    pub(crate) configured: SocketAddr,
    pub(crate) socket: OwnedFd,
}

/// An accepted connection whose first request is not answered.
pub(crate) struct Waiting {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: SocketAddr,
    /// All that has been read from it.
    pub(crate) read: Bytes,
}

/// What is left of a viewer's attachment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DetachedViewer {
    /// Its registration.
    pub(crate) registration: RegistrationState,
    /// The index of its feed in [`LooksState::feeds`].
    pub(crate) feed: u32,
    /// It looks without counting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_watching: bool,
}

impl DetachedViewer {
    /// Creates what is left of the attachment of a viewer of the feed with this index.
    pub(crate) fn new(registration: RegistrationState, counting: Counting, feed: u32) -> Self {
        Self { registration, feed, is_watching: counting == Counting::Watching }
    }

    /// Whether it counts.
    pub(crate) fn counting(&self) -> Counting {
        if self.is_watching { Counting::Watching } else { Counting::Counted }
    }
}

/// A viewer who is expected back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReturningState {
    /// The counter's name.
    pub(crate) counter: String,
    /// Its registration, which counts.
    pub(crate) registration: RegistrationState,
    /// Why it is away.
    pub(crate) cause: Absence,
    /// How long it is expected.
    pub(crate) within: Duration,
}

/// The feeds, and the key by which the owners of looks are told apart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LooksState {
    /// See `LookLimits`.
    pub(crate) owner_key: [u64; 2],
    /// The feeds that have viewers.
    pub(crate) feeds: Vec<FeedState>,
    /// Viewers who are expected back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) returning: Vec<ReturningState>,
}

/// A feed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FeedState {
    /// The counter's name.
    pub(crate) counter: String,
    /// The look, as a URL's query.
    pub(crate) look: String,
    /// The name of the streams' format.
    pub(crate) format: String,
    /// Who began the look.
    pub(crate) owner: u64,
    /// The newest picture, or the newest frame of a format without pictures.
    pub(crate) picture: Bytes,
    /// What streams end with: for pictures the marked one and the closing boundary. Not a part of the state: the envelope has it.
    #[serde(skip)]
    pub(crate) ending: Bytes,
}

impl FeedState {
    /// Returns the format. `None` for one that this program does not know.
    pub(crate) fn format(&self) -> Option<StreamFormat> {
        StreamFormat::from_name(&self.format)
    }
}

/// A stream that is to end.
pub(crate) struct EndingStream {
    /// The viewer's socket.
    pub(crate) socket: OwnedFd,
    /// The rest of a frame whose beginning was sent.
    pub(crate) unsent: Bytes,
    /// What its format ends with.
    pub(crate) ending: Bytes,
}

impl LooksState {
    /// The stream of a viewer that the program cannot go on with.
    pub(crate) fn ending_stream(&self, viewer: HeldViewer<DetachedViewer>) -> EndingStream {
        let HeldViewer { socket, attachment, progress } = viewer;
        let feed = self.feeds.get(attachment.feed as usize);
        EndingStream {
            socket,
            unsent: progress.unsent,
            ending: feed.map(|feed| feed.ending.clone()).unwrap_or_default(),
        }
    }
}
