//! The id of one viewer on this node.

use serde::{Deserialize, Serialize};

/// A viewer on this node. Unique within the life of the node, over all processes that take it over from one another;
/// ascending in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ViewerId(pub(crate) u64);
