//! The state of presence, for the readiness check.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Whether this node's numbers include all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Redis has not answered since the start of this process: the node is not ready.
    Starting,
    /// Redis answers. Always so without Redis.
    Connected,
    /// Redis is away: the node keeps serving the last numbers.
    Degraded {
        /// When Redis last answered.
        since: SystemTime,
        /// What is wrong, in one sentence without secrets.
        reason: String,
    },
}
