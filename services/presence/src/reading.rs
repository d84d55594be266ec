//! One state of a counter, as watchers see it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// The numbers of a counter at one moment.
///
/// Readings are ordered by (`epoch`, `version`): a watcher never goes back within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Open streams, on all nodes.
    pub count: u64,
    /// Distinct visitors among them.
    pub visitors: u64,
    /// Grows when Redis has lost data and begins again. 0 while this node knows only its own viewers.
    pub epoch: u64,
    /// Grows with each change within an epoch.
    pub version: u64,
    /// When the numbers were last confirmed.
    pub as_of: SystemTime,
    /// The numbers have not been confirmed for [`Timing::stale_after`](crate::Timing::stale_after), or never.
    pub stale: bool,
}
