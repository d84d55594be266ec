//! The id of one viewer on this node.

/// A viewer on this node. Unique within the life of the process, ascending in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ViewerId(pub(crate) u64);
