//! One state of a counter, as a reader sees it.

use std::time::SystemTime;

/// What a counter says at one moment.
///
/// Readings are ordered by (`epoch`, `version`): a reader never goes back within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Viewers: streams open now, on all nodes.
    pub count: u64,
    /// Distinct people behind them.
    pub visitors: u64,
    /// Grows when the shared state was lost and begun anew. 0: this node knows only its own viewers yet.
    pub epoch: u64,
    /// Grows with each change within an epoch.
    pub version: u64,
    /// When the numbers were last known to be true.
    pub as_of: SystemTime,
    /// Nothing has confirmed the numbers for a while (9.5 s by default), or nothing ever has.
    pub stale: bool,
}
