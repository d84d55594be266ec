//! How presence is doing, for the readiness check.

use std::time::SystemTime;

/// Whether this node's numbers can be trusted to be everybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Redis has not answered yet since this process began: the node is not ready.
    Starting,
    /// All is well. The embedded presence always says so.
    Connected,
    /// Redis is away: the node keeps serving what it last knew.
    Degraded {
        /// When it was last heard.
        since: SystemTime,
        /// What is wrong, in one sentence without secrets.
        reason: String,
    },
}
