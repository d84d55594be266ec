//! [`Fleet`]: the nodes that should count now, and their viewers, so that the true number is known at every moment.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use headcount_testkit::{
    Farewell, Goal, Manner, Opening, Viewers, Which,
    rig::{Node, NodeOptions, Proxy, RedisServer, wait_until},
};

use crate::{
    promise::{Promise, SOON},
    store,
};

/// The counter that all watch.
pub(crate) const COUNTER: &str = "online";

/// Where the load balancer is in tests that have one. The rig's own questions come from elsewhere, without a PROXY header.
pub(crate) const BALANCER: &str = "127.0.0.2";

/// How long anything may take that nothing is promised about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A node and its viewers.
pub(crate) struct Post {
    pub(crate) node: Node,
    /// Between the node and Redis, where there is one.
    proxy: Option<Proxy>,
    pub(crate) viewers: Viewers,
    /// So many viewers are open.
    pub(crate) open: usize,
}

impl Post {
    /// Starts a node, and opens viewers once it is ready.
    pub(crate) fn start(options: NodeOptions, viewers: usize) -> Self {
        let node = start(options);
        node.ready(PATIENCE).unwrap();
        Self::at(node, None, viewers)
    }

    /// Starts a node with a proxy between it and Redis.
    pub(crate) fn behind_proxy(redis: SocketAddr, viewers: usize) -> Self {
        let proxy = Proxy::start(redis).unwrap();
        let node = start(NodeOptions::redis(proxy.url()));
        node.ready(PATIENCE).unwrap();
        Self::at(node, Some(proxy), viewers)
    }

    /// Opens viewers of a node that is running.
    pub(crate) fn at(node: Node, proxy: Option<Proxy>, viewers: usize) -> Self {
        let crowd = Viewers::open(viewers, &[stream(&node)]).unwrap();
        Self { node, proxy, viewers: crowd, open: viewers }
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("this test gave the node a proxy")
    }

    /// So many viewers come, and have seen an image when this returns.
    pub(crate) fn join(&mut self, viewers: usize) {
        self.begin_to_join(viewers);
        self.viewers.opened(PATIENCE).unwrap();
    }

    /// So many viewers begin to come.
    pub(crate) fn begin_to_join(&mut self, viewers: usize) {
        self.join_as(viewers, Manner::default());
    }

    /// So many viewers of some manner begin to come.
    pub(crate) fn join_as(&mut self, viewers: usize, manner: Manner) {
        let urls = vec![stream(&self.node)];
        self.viewers.add(&Opening { count: viewers, urls, manner, ..Opening::default() }).unwrap();
        self.open += viewers;
    }

    /// So many viewers close their connections, those first that came first.
    pub(crate) fn leave(&mut self, viewers: usize) {
        self.viewers.leave(viewers, Which::Oldest, Farewell::Close).unwrap();
        self.open -= viewers;
    }

    /// Sees that no viewer was dropped, and that all that they were sent was whole and in order.
    pub(crate) fn keeps_its_viewers(&self) {
        let seen = self.viewers.snapshot().unwrap();
        assert!(seen.live == self.open && seen.lost() == 0, "of {} viewers: {seen}", self.open);
    }

    /// What the JSON says, and what the viewers see, compared with the truth.
    fn agrees(&self, truth: u64) -> Result<(), String> {
        let said = self.node.reading(COUNTER).map_err(|error| error.to_string())?;
        if said.count != truth {
            return Err(format!("its JSON says {said:?} while there are {truth}"));
        }
        let seen = self.viewers.snapshot().map_err(|error| error.to_string())?;
        let all_see_it = self.open == 0 || seen.unanimous() == Some(truth);
        if seen.live != self.open || !all_see_it || seen.lost() > 0 {
            return Err(format!("its {} viewers should see {truth}: {seen}", self.open));
        }
        Ok(())
    }
}

/// Nodes that should count, all of them and no other.
pub(crate) struct Fleet {
    pub(crate) posts: Vec<Post>,
}

impl Fleet {
    /// A node for each number of viewers, all with presence in one Redis, of whatever kind.
    pub(crate) fn open(url: &str, viewers: &[usize]) -> Self {
        let posts = viewers.iter().map(|&viewers| Post::start(NodeOptions::redis(url), viewers)).collect();
        let fleet = Self { posts };
        fleet.soon_exact();
        fleet
    }

    /// The same with a proxy before each node's Redis.
    pub(crate) fn behind_proxies(redis: &RedisServer, viewers: &[usize]) -> Self {
        let posts = viewers.iter().map(|&viewers| Post::behind_proxy(redis.address(), viewers)).collect();
        let fleet = Self { posts };
        fleet.soon_exact();
        fleet
    }

    /// The number of open connections.
    pub(crate) fn truth(&self) -> u64 {
        self.posts.iter().map(|post| post.open as u64).sum()
    }

    /// Waits until the number is exact everywhere: every viewer of every node sees it, and every node's JSON says it, at
    /// the same time. Prints how long that took.
    pub(crate) fn exact(&self, promise: &Promise) -> Duration {
        if let Err(found) = self.agrees_within(promise.left()) {
            promise.broken(found);
        }
        promise.kept()
    }

    /// The same where nothing is promised in figures.
    pub(crate) fn soon_exact(&self) {
        if let Err(found) = self.agrees_within(PATIENCE) {
            panic!("the number is not exact: {found}");
        }
    }

    fn agrees_within(&self, within: Duration) -> Result<(), String> {
        let (begun, truth) = (Instant::now(), self.truth());
        let left = || within.saturating_sub(begun.elapsed());
        for (index, post) in self.posts.iter().enumerate() {
            post.viewers.all_see(truth, left()).map_err(|error| format!("node {index}: {error}"))?;
        }
        let all_agree = || {
            let found = self.posts.iter().enumerate().map(|(index, post)| (index, post.agrees(truth)));
            let wrong = found.into_iter().find_map(|(index, found)| Some((index, found.err()?)));
            wrong.map_or(Ok(()), |(index, found)| Err(format!("node {index}: {found}")))
        };
        wait_until("all nodes' agreement", left(), all_agree).map_err(|error| error.to_string())
    }

    /// From now on the lowest and highest numbers shown are recorded afresh.
    pub(crate) fn forget_extremes(&self) {
        for post in &self.posts {
            post.viewers.forget_extremes().unwrap();
        }
    }

    /// Sees that no viewer of any node was shown anything beyond `lowest` and `highest` since, and that none was dropped.
    pub(crate) fn showed_only(&self, lowest: u64, highest: u64) {
        for (index, post) in self.posts.iter().enumerate() {
            post.keeps_its_viewers();
            let seen = post.viewers.snapshot().unwrap();
            let shown = (seen.lowest.unwrap_or(lowest), seen.highest.unwrap_or(highest));
            assert!(
                shown.0 >= lowest && shown.1 <= highest,
                "viewers of node {index} saw {} to {}, not {lowest} to {highest}",
                shown.0,
                shown.1
            );
        }
    }

    /// Waits until all pictures carry the mark of a number that may be old, or none does, and the JSON says the same.
    pub(crate) fn all_stale(&self, stale: Marked, promise: &Promise) -> Duration {
        for (index, post) in self.posts.iter().enumerate() {
            let goal = match stale {
                Marked::Stale => Goal::Stale(post.open),
                Marked::Fresh => Goal::NoneStale,
            };
            if let Err(found) = post.viewers.reach(goal, promise.left()) {
                promise.broken(format!("viewers of node {index}: {found}"));
            }
            let said = wait_until("the mark in the JSON", promise.left(), || {
                let said = post.node.reading(COUNTER).map_err(|error| error.to_string())?;
                if said.stale == (stale == Marked::Stale) { Ok(()) } else { Err(format!("{said:?}")) }
            });
            if let Err(found) = said {
                promise.broken(format!("node {index}: {found}"));
            }
        }
        promise.kept()
    }

    /// The end of every test: all viewers leave, all nodes stop, and nothing is left in Redis.
    pub(crate) fn leave_nothing(self, servers: &[&RedisServer]) {
        self.leave_nothing_within(SOON, servers);
    }

    /// The same with another bound, where viewers of one address are damped.
    pub(crate) fn leave_nothing_within(mut self, bound: Duration, servers: &[&RedisServer]) {
        for post in &mut self.posts {
            post.keeps_its_viewers();
            post.leave(post.open);
        }
        self.exact(&Promise::begin("all viewers have left", bound));
        for post in &mut self.posts {
            let status = post.node.stop(PATIENCE).unwrap();
            let log = post.node.log();
            assert!(status.success() && !log.iter().any(|line| line.contains("panicked")), "{status}: {log:#?}");
        }
        for server in servers {
            store::is_empty(server);
        }
    }
}

/// Whether a number is marked as one that may be old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    Stale,
    Fresh,
}

/// Starts the binary that these tests were built with.
pub(crate) fn start(mut options: NodeOptions) -> Node {
    options.program = Some(env!("CARGO_BIN_EXE_headcount").into());
    // Streams that end take no longer than they must.
    Node::start(&options.with(["--drain", "1s"])).unwrap()
}

/// The stream that viewers of a node ask for.
pub(crate) fn stream(node: &Node) -> String {
    node.url(&format!("{COUNTER}.png"))
}

/// Time that has to pass: the length of a fault, or a stretch in which nothing may happen.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}
