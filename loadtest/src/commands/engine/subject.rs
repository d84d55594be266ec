//! [`Subject`]: a server in its turn.

use std::time::Duration;

use headcount_testkit::{Behaviour, Node, NodeOptions, Usage, Viewers};

use crate::peers::Peer;

/// How long anything may take before the run fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// The format of a node's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StreamKind {
    Pictures,
    Html,
    Events,
}

impl StreamKind {
    pub(super) const ALL: [Self; 3] = [Self::Pictures, Self::Html, Self::Events];

    /// What a report calls a node with such streams.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pictures => "headcount",
            Self::Html => "headcount, HTML",
            Self::Events => "headcount, events",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Pictures => "online.png",
            Self::Html => "online/live.html",
            Self::Events => "online/events",
        }
    }

    /// The time between two pushes that find the server idle: documents are sent two a second.
    pub(super) fn pause(self) -> Duration {
        match self {
            Self::Html => Duration::from_millis(600),
            Self::Pictures | Self::Events => Duration::from_millis(400),
        }
    }
}

/// One of the servers in its turn.
pub(super) enum Subject {
    Headcount {
        node: Node,
        kind: StreamKind,
        /// Viewers that do not come and go.
        steady: u64,
        /// The viewer whose coming and going changes the number.
        extra: Option<Viewers>,
    },
    Peer {
        peer: Box<Peer>,
        number: u64,
    },
}

impl Subject {
    /// A node, which `steady` viewers are going to watch.
    pub(super) fn headcount(options: &NodeOptions, kind: StreamKind, steady: usize) -> anyhow::Result<Self> {
        let node = Node::start(options)?;
        node.ready(PATIENCE)?;
        Ok(Self::Headcount { node, kind, steady: steady as u64, extra: None })
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
            Self::Headcount { node, kind, .. } => node.url(kind.path()),
            Self::Peer { peer, .. } => peer.url(),
        }
    }

    /// The time between two pushes that find the server idle.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Headcount { kind, .. } => kind.pause(),
            Self::Peer { .. } => StreamKind::Pictures.pause(),
        }
    }

    pub(super) fn behaviour(&self) -> Behaviour {
        match self {
            Self::Headcount { .. } => Behaviour::default(),
            Self::Peer { peer, .. } => peer.behaviour(),
        }
    }

    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Ok(match self {
            Self::Headcount { node, .. } => node.usage()?,
            Self::Peer { peer, .. } => peer.usage()?,
        })
    }

    /// The number that all viewers show now, and the number after the next push.
    pub(super) fn numbers(&self) -> (u64, u64) {
        match self {
            Self::Headcount { steady, extra: None, .. } => (*steady, steady + 1),
            Self::Headcount { steady, extra: Some(_), .. } => (steady + 1, *steady),
            Self::Peer { number, .. } => (*number, number + 1),
        }
    }

    /// Makes a push.
    pub(super) fn push(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Headcount { node, extra, .. } => match extra.take() {
                Some(extra) => drop(extra),
                None => *extra = Some(Viewers::open(1, &[node.url("online.png")])?),
            },
            Self::Peer { peer, number } => {
                *number += 1;
                peer.publish(*number)?;
            }
        }
        Ok(())
    }
}
