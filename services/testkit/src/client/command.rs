//! What a crowd of viewers can be told, and what it answers; the same within a process and as JSON between two.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Snapshot, target::Behaviour};

/// Viewers to open.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Batch {
    /// How many.
    pub count: usize,
    /// Streams to ask for, in turn.
    pub urls: Vec<String>,
    /// Connections begun a second at most; as fast as they are answered where there is none.
    pub per_second: Option<f64>,
    /// How they behave.
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

/// Which viewers are meant.
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
    /// Nobody waits or asks any more: each viewer has seen an image, or has been lost.
    Opened,
    /// All live viewers show this number, and nobody is still asking.
    Number(u64),
    /// No more than so many are live.
    AtMostLive(usize),
    /// So many parts in all have been read.
    Parts(u64),
    /// So many live viewers' pictures say that their number may be old.
    Stale(usize),
    /// No live viewer's picture says so.
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

/// One order to a crowd.
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
