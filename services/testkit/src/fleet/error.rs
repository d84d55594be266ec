//! [`FleetError`]: why nodes with viewers are not as they should be.

use std::fmt;

use crate::{BrokenPromise, Error, ViewersError};

/// Why nodes with viewers are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A process or a node's answer failed.
    #[error(transparent)]
    Node(#[from] Error),
    /// Viewers did not get to where they should.
    #[error(transparent)]
    Viewers(#[from] ViewersError),
    /// A promise was broken.
    #[error(transparent)]
    Broken(#[from] BrokenPromise),
    /// A node, or its viewers, show something wrong.
    #[error("{node}: {found}")]
    Wrong {
        /// The node.
        node: String,
        /// What they show.
        found: String,
    },
}

impl FleetError {
    pub(super) fn wrong(node: &impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::Wrong { node: node.to_string(), found: found.to_string() }
    }
}
