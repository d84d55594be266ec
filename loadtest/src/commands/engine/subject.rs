//! [`Contender`]: a server in its turn.

use std::time::Duration;

use headcount_testkit::{Manner, Node, NodeOptions, Usage, Viewers};

use crate::peers::Peer;

/// How long anything may take before it is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// One of the servers in its turn.
pub(super) enum Contender {
    Headcount {
        node: Node,
        /// Viewers that do not come and go.
        steady: u64,
        /// The viewer whose coming and going changes the number.
        guest: Option<Viewers>,
    },
    Peer {
        peer: Peer,
        number: u64,
    },
}

impl Contender {
    /// A node, which `steady` viewers are going to watch.
    pub(super) fn headcount(options: &NodeOptions, steady: usize) -> anyhow::Result<Self> {
        let node = Node::start(options)?;
        node.ready(PATIENCE)?;
        Ok(Self::Headcount { node, steady: steady as u64, guest: None })
    }

    /// The node, where it is one.
    ///
    /// # Panics
    /// If it is another server.
    pub(super) fn node(&self) -> &Node {
        match self {
            Self::Headcount { node, .. } => node,
            Self::Peer { .. } => unreachable!("only nodes are asked for their node"),
        }
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Headcount { node, .. } => node.url("online.png"),
            Self::Peer { peer, .. } => peer.url(),
        }
    }

    pub(super) fn manner(&self) -> Manner {
        match self {
            Self::Headcount { .. } => Manner::default(),
            Self::Peer { peer, .. } => peer.manner(),
        }
    }

    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Ok(match self {
            Self::Headcount { node, .. } => node.usage()?,
            Self::Peer { peer, .. } => peer.usage()?,
        })
    }

    /// The number that everybody shows now, and the one that the next push brings.
    pub(super) fn numbers(&self) -> (u64, u64) {
        match self {
            Self::Headcount { steady, guest: None, .. } => (*steady, steady + 1),
            Self::Headcount { steady, guest: Some(_), .. } => (steady + 1, *steady),
            Self::Peer { number, .. } => (*number, number + 1),
        }
    }

    /// Makes a push.
    pub(super) fn push(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Headcount { node, guest, .. } => match guest.take() {
                Some(guest) => drop(guest),
                None => *guest = Some(Viewers::open(1, &[node.url("online.png")])?),
            },
            Self::Peer { peer, number } => {
                *number += 1;
                peer.publish(*number)?;
            }
        }
        Ok(())
    }
}
