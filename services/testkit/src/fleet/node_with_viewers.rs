//! [`NodeWithViewers`]: a node, the proxy between it and Redis if there is one, and its viewers.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{error::FleetError, visitor::Visitor};
use crate::{Batch, Behaviour, CloseMode, Error, Node, NodeOptions, Proxy, Viewers, Which};

/// The counter that all viewers watch.
pub const COUNTER: &str = "online";

/// How long a node may take until it is ready, and viewers until they see an image.
const PATIENCE: Duration = Duration::from_secs(60);

/// The URL of the stream that viewers of a node open.
pub fn stream(node: &Node) -> String {
    node.url(&format!("{COUNTER}.png"))
}

/// A node with its viewers.
pub struct NodeWithViewers {
    /// The node.
    pub node: Node,
    proxy: Option<Proxy>,
    /// Its viewers.
    pub viewers: Viewers,
    /// The number of viewers that should be open.
    pub open: usize,
    /// How viewers behave who join.
    pub behaviour: Behaviour,
    /// The visitors behind the open viewers, the oldest viewer first.
    visitors: VecDeque<Visitor>,
    /// The number of the next viewer.
    next: u32,
}

impl NodeWithViewers {
    /// Starts a node, waits until it is ready, and opens viewers.
    ///
    /// # Errors
    /// If the node does not become ready, or a viewer does not see an image.
    pub fn start(options: &NodeOptions, viewers: usize) -> Result<Self, FleetError> {
        let node = Node::start(options)?;
        node.ready(PATIENCE)?;
        Self::of(node, viewers)
    }

    /// The same with a proxy between the node and the Redis at `redis`.
    ///
    /// # Errors
    /// If the proxy or the node does not start, or a viewer does not see an image.
    pub fn behind_proxy(redis: SocketAddr, options: &NodeOptions, viewers: usize) -> Result<Self, FleetError> {
        let proxy = Proxy::start(redis).map_err(Error::io("a proxy before Redis"))?;
        let options = NodeOptions { redis: Some(proxy.url()), ..options.clone() };
        Ok(Self { proxy: Some(proxy), ..Self::start(&options, viewers)? })
    }

    /// Opens viewers of a node that runs already, ready or not.
    ///
    /// # Errors
    /// If a viewer does not see an image.
    pub fn of(node: Node, viewers: usize) -> Result<Self, FleetError> {
        let crowd = Viewers::open(viewers, &[stream(&node)])?;
        let (behaviour, visitors) = (Behaviour::default(), VecDeque::new());
        let mut all = Self { node, proxy: None, viewers: crowd, open: 0, behaviour, visitors, next: 0 };
        all.joined(viewers, &Behaviour::default());
        Ok(all)
    }

    /// The proxy between the node and Redis.
    ///
    /// # Panics
    /// If it was started without one.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("the node was started behind a proxy")
    }

    /// Opens more viewers, and waits until they see an image.
    ///
    /// # Errors
    /// If one does not.
    pub fn join(&mut self, viewers: usize) -> Result<(), FleetError> {
        self.join_as(viewers, self.behaviour.clone())
    }

    /// Opens more viewers with this behaviour, and waits until they see an image.
    ///
    /// # Errors
    /// If one does not.
    pub fn join_as(&mut self, viewers: usize, behaviour: Behaviour) -> Result<(), FleetError> {
        self.begin_to_join(viewers, behaviour)?;
        self.viewers.opened(PATIENCE)?;
        Ok(())
    }

    /// Begins to open more viewers, and returns at once.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn begin_to_join(&mut self, viewers: usize, behaviour: Behaviour) -> Result<(), FleetError> {
        let urls = vec![stream(&self.node)];
        let batch = Batch { count: viewers, urls, behaviour, ..Batch::default() };
        self.viewers.add(&batch)?;
        self.joined(viewers, &batch.behaviour);
        Ok(())
    }

    fn joined(&mut self, viewers: usize, behaviour: &Behaviour) {
        for _ in 0..viewers {
            self.visitors.push_back(Visitor::of(behaviour, self.next));
            self.next += 1;
        }
        self.open += viewers;
    }

    /// The visitors behind the open viewers.
    pub(super) fn visitors(&self) -> BTreeSet<&Visitor> {
        self.visitors.iter().collect()
    }

    /// The address of the viewer in the middle between the oldest and the newest; `None` if there is none.
    pub fn visitor_in_the_middle(&self) -> Option<IpAddr> {
        self.visitors.get(self.visitors.len() / 2).map(|visitor| visitor.network)
    }

    /// Closes the connections of the viewers that came first.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn leave(&mut self, viewers: usize) -> Result<(), FleetError> {
        self.viewers.leave(viewers, Which::Oldest, CloseMode::Close)?;
        self.open -= viewers;
        // Those that a test opened by itself are not among them.
        self.visitors.drain(..viewers.min(self.visitors.len()));
        Ok(())
    }

    /// Checks that no viewer was dropped, and that all that they received was complete and in order.
    ///
    /// # Errors
    /// If one was dropped, or received something broken.
    pub fn keeps_its_viewers(&self) -> Result<(), FleetError> {
        let seen = self.viewers.snapshot()?;
        if seen.live == self.open && seen.lost() == 0 {
            return Ok(());
        }
        Err(FleetError::wrong(self, format!("of {} viewers: {seen}", self.open)))
    }

    /// Checks that the JSON shows these numbers now.
    ///
    /// # Errors
    /// If it shows others, or the node does not answer.
    pub(super) fn tells(&self, visitors: u64, number: u64) -> Result<(), FleetError> {
        let reading = self.node.reading(COUNTER)?;
        if (reading.visitors, reading.count) == (visitors, number) {
            return Ok(());
        }
        Err(FleetError::wrong(self, format!("its JSON is {reading:?}, not {visitors} visitors among {number}")))
    }

    /// Checks that the JSON and all viewers show this number now.
    ///
    /// # Errors
    /// If one shows another number, or a viewer was dropped.
    pub fn shows(&self, number: u64) -> Result<(), FleetError> {
        let reading = self.node.reading(COUNTER)?;
        if reading.count != number {
            return Err(FleetError::wrong(self, format!("its JSON is {reading:?}, not {number}")));
        }
        self.keeps_its_viewers()?;
        let seen = self.viewers.snapshot()?;
        if self.open == 0 || seen.unanimous() == Some(number) {
            return Ok(());
        }
        Err(FleetError::wrong(self, format!("its {} viewers should see {number}: {seen}", self.open)))
    }
}

impl fmt::Display for NodeWithViewers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "node {}", self.node.address())
    }
}
