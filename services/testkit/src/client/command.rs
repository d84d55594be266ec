//! The commands of a worker and its replies, both within a process and as JSON between two.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Snapshot, target::Behaviour};

/// Viewers to open.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Batch {
    /// How many.
    pub count: usize,
    /// URLs of the streams to open, in turn.
    pub urls: Vec<String>,
    /// The most connections begun in a second; without it, as fast as they are answered.
    pub per_second: Option<f64>,
    /// The behaviour of each.
    pub behaviour: Behaviour,
}

/// How a viewer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseMode {
    /// By closing its socket, as a browser does.
    Close,
    /// By a reset.
    Reset,
}

/// Which viewers a command applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// Those that came first.
    Oldest,
    /// Those that came last.
    Newest,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Each viewer has seen an image or was lost.
    Opened,
    /// All live viewers show this number, and none is still opening its stream.
    Number(u64),
    /// At most this many are live.
    AtMostLive(usize),
    /// At least this many parts were read in all.
    Parts(u64),
    /// The pictures of at least this many live viewers are marked as stale.
    Stale(usize),
    /// No live viewer's picture is marked as stale.
    NoneStale,
    /// Some live viewer shows another number than this.
    Other(u64),
}

/// Whether changes of a track are joins or leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// The k-th join from now on is seen by a number of at least `base` + k.
    Joins,
    /// The k-th leave from now on is seen by a number of at most `base` − k.
    Leaves,
}

/// One command to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Open(Batch),
    Close { count: usize, which: Which, mode: CloseMode },
    Stall { count: usize, which: Which },
    Resume,
    Await { goal: Goal, within: Duration },
    Mark { number: u64, since_ns: u64 },
    Track { base: u64, direction: Direction, watchers: u32 },
    ForgetExtremes,
    Snapshot,
    Stop,
}

/// The answer to a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// When an awaited goal was reached, by the monotonic clock; `None` where the time ran out.
    pub(crate) reached_ns: Option<u64>,
    pub(crate) snapshot: Snapshot,
}
