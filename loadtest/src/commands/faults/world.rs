//! [`World`]: nodes, their Redis, and viewers, whose true number is known at every moment.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use headcount_testkit::{
    CloseMode, Goal, Node, NodeOptions, Proxy, RedisCluster, RedisServer, Sentinels, Snapshot, Viewers, ViewersError,
    Which, clock::between,
};
use rand::{Rng, rngs::StdRng};

use super::{arguments::Arguments, fault::Fault, timeline::Timeline};

/// How long anything may take that is not the promise itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Time for one number everywhere after viewers have come, when nothing is broken.
const SETTLED: Duration = Duration::from_secs(10);

/// Time between two looks at how all viewers stand.
const SAMPLE: Duration = Duration::from_millis(250);

/// The counter that all watch.
pub(super) const COUNTER: &str = "online";

/// A promise that was kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) what: String,
    pub(super) within: Duration,
    pub(super) took: Duration,
}

/// What keeps the nodes' presence.
pub(super) enum Backend {
    Single(RedisServer),
    Sentinels(Box<Sentinels>),
    Cluster(RedisCluster),
}

/// A node, the proxy between it and Redis if there is one, and its viewers.
pub(super) struct Post {
    pub(super) node: Node,
    pub(super) proxy: Option<Proxy>,
    pub(super) viewers: Viewers,
    /// So many viewers are open.
    pub(super) count: usize,
}

pub(super) struct World {
    pub(super) backend: Backend,
    pub(super) posts: Vec<Post>,
    program: Option<std::path::PathBuf>,
}

/// The world that a fault needs: the one that there is, or a new one.
pub(super) fn for_fault<'a>(
    fault: Fault,
    world: &'a mut Option<World>,
    arguments: &Arguments,
    timeline: &mut Timeline,
) -> anyhow::Result<&'a mut World> {
    let fits = world.as_ref().is_some_and(|world| fault.wants(&world.backend));
    if !fits {
        // The old one goes first, so that there are never the processes of two.
        *world = None;
        *world = Some(World::new(fault.backend()?, arguments, timeline)?);
    }
    Ok(world.as_mut().expect("it was just made"))
}

impl World {
    fn new(backend: Backend, arguments: &Arguments, timeline: &mut Timeline) -> anyhow::Result<Self> {
        let mut world = Self { backend, posts: Vec::new(), program: arguments.program.clone() };
        for _ in 0..arguments.nodes {
            let post = world.post(usize::from(arguments.viewers), &NodeOptions::default())?;
            world.posts.push(post);
        }
        timeline.add(format!("{} nodes with {} viewers each", arguments.nodes, arguments.viewers));
        world.all_see(&world.everyone(), SETTLED).context("before any fault")?;
        Ok(world)
    }

    /// A new node with so many viewers.
    pub(super) fn post(&self, count: usize, options: &NodeOptions) -> anyhow::Result<Post> {
        let (url, proxy) = match &self.backend {
            Backend::Single(redis) => {
                let proxy = Proxy::start(redis.address()).context("a proxy before Redis")?;
                (proxy.url(), Some(proxy))
            }
            Backend::Sentinels(sentinels) => (sentinels.url(), None),
            Backend::Cluster(cluster) => (cluster.url(), None),
        };
        let options = NodeOptions { redis: Some(url), program: self.program.clone(), ..options.clone() };
        let node = Node::start(&options.with(["--drain", "1s"]))?;
        node.ready(PATIENCE)?;
        let viewers = Viewers::open(count, &[node.url(&format!("{COUNTER}.png"))])?;
        Ok(Post { node, proxy, viewers, count })
    }

    /// Replaces a node that is gone, and gives it as many viewers.
    pub(super) fn replace(&mut self, index: usize, timeline: &mut Timeline) -> anyhow::Result<()> {
        let count = self.posts[index].count;
        self.posts[index] = self.post(count, &NodeOptions::default())?;
        timeline.add(format!("node {index} is replaced by a new one with {count} viewers"));
        self.all_see(&self.everyone(), SETTLED).context("with the new node").map(drop)
    }

    pub(super) fn redis(&mut self) -> &mut RedisServer {
        match &mut self.backend {
            Backend::Single(redis) => redis,
            Backend::Sentinels(_) | Backend::Cluster(_) => unreachable!("such faults want a single Redis"),
        }
    }

    /// What lies between a node and its Redis.
    pub(super) fn proxy(&self, index: usize) -> &Proxy {
        self.posts[index].proxy.as_ref().expect("nodes with a single Redis have a proxy before it")
    }

    /// The indexes of all nodes.
    pub(super) fn everyone(&self) -> Vec<usize> {
        (0..self.posts.len()).collect()
    }

    /// The indexes of all nodes but one.
    pub(super) fn others(&self, index: usize) -> Vec<usize> {
        (0..self.posts.len()).filter(|&other| other != index).collect()
    }

    /// Viewers of these nodes.
    pub(super) fn truth(&self, posts: &[usize]) -> u64 {
        posts.iter().map(|&index| self.posts[index].count as u64).sum()
    }

    /// Lets viewers come to and go from these nodes, as chance has it.
    pub(super) fn stir(&mut self, posts: &[usize], choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<()> {
        for &index in posts {
            let post = &mut self.posts[index];
            let (joins, leaves) = (choice.random_range(1..30), choice.random_range(0..post.count.min(20)));
            let url = post.node.url(&format!("{COUNTER}.png"));
            post.viewers.leave(leaves, Which::Oldest, CloseMode::Close)?;
            post.viewers.add(&headcount_testkit::Batch { count: joins, urls: vec![url], ..Default::default() })?;
            post.viewers.opened(PATIENCE)?;
            post.count = post.count + joins - leaves;
            timeline.add(format!("{joins} come to and {leaves} leave node {index}"));
        }
        self.sample(timeline)?;
        Ok(())
    }

    /// Waits until all viewers of these nodes see the number of just their viewers, and the nodes say so too.
    pub(super) fn all_see(&self, posts: &[usize], within: Duration) -> anyhow::Result<Duration> {
        self.all_see_number(posts, self.truth(posts), within)
    }

    /// Waits until all viewers of these nodes see a number, and the nodes say so too.
    pub(super) fn all_see_number(&self, posts: &[usize], due: u64, within: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            for &index in posts {
                let left = within.saturating_sub(begun.elapsed());
                let viewers = &self.posts[index].viewers;
                viewers.all_see(due, left).with_context(|| format!("viewers of node {index}"))?;
            }
            let took = begun.elapsed();
            // The first may have gone on while the last were awaited: a number that is only passed by is not the number.
            match self.differing(posts, due)? {
                None => return Ok(took),
                Some(what) => ensure!(begun.elapsed() < within, "all saw {due}, but not at once: {what}"),
            }
        }
    }

    /// Who does not show `due` now, in words.
    fn differing(&self, posts: &[usize], due: u64) -> anyhow::Result<Option<String>> {
        for &index in posts {
            let post = &self.posts[index];
            let said = post.node.reading(COUNTER)?.count;
            let snapshot = post.viewers.snapshot()?;
            if snapshot.broken > 0 || snapshot.live != post.count {
                bail!("of {} viewers of node {index}: {snapshot}", post.count);
            }
            if said != due || snapshot.unanimous() != Some(due) {
                return Ok(Some(format!("the JSON of node {index} says {said}, its viewers: {snapshot}")));
            }
        }
        Ok(None)
    }

    /// Holds the nodes to a promise: within the time, all viewers of `posts` see the number of just their viewers.
    pub(super) fn promise(
        &self,
        what: &str,
        posts: &[usize],
        within: Duration,
        timeline: &mut Timeline,
    ) -> anyhow::Result<Kept> {
        let due = self.truth(posts);
        self.sample(timeline)?;
        let took = self.watched(posts, due, within, timeline);
        let took = took.with_context(|| format!("{what}, within {within:?}: {due}"))?;
        timeline.add(format!("{what}: all see {due} after {took:.2?}"));
        self.sample(timeline)?;
        Ok(Kept { what: what.into(), within, took })
    }

    /// Waits as [`all_see`](Self::all_see) does, and records meanwhile how all viewers stand.
    fn watched(
        &self,
        posts: &[usize],
        due: u64,
        within: Duration,
        timeline: &mut Timeline,
    ) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while let Some(&first) = posts.first() {
            match self.posts[first].viewers.reach(Goal::Number(due), SAMPLE) {
                Err(ViewersError::TimedOut { .. }) if begun.elapsed() < within => self.sample(timeline)?,
                Ok(_) | Err(ViewersError::TimedOut { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let until = begun.elapsed();
        Ok(until + self.all_see_number(posts, due, within.saturating_sub(until))?)
    }

    /// Checks that for so long no viewer of any node sees any number but the true one.
    pub(super) fn stays_exact(&self, time: Duration, timeline: &mut Timeline) -> anyhow::Result<()> {
        let due = self.truth(&self.everyone());
        self.all_see(&self.everyone(), SETTLED).context("before a quiet time")?;
        self.forget_extremes()?;
        let Some(watched) = self.posts.first() else { return Ok(()) };
        match watched.viewers.reach(Goal::Other(due), time) {
            Err(ViewersError::TimedOut { .. }) => {}
            Ok((after, snapshot)) => bail!("there are {due}, and after {after:.2?} of quiet, {snapshot}"),
            Err(error) => return Err(error.into()),
        }
        for (index, post) in self.posts.iter().enumerate() {
            let snapshot = post.viewers.snapshot()?;
            let seen = (snapshot.lowest, snapshot.highest);
            ensure!(seen == (Some(due), Some(due)), "there were {due}, and viewers of node {index} saw {seen:?}");
            ensure!(snapshot.live == post.count, "viewers of node {index} were lost: {snapshot}");
        }
        timeline.add(format!("everybody saw {due} and nothing else for {time:.0?}"));
        self.sample(timeline)
    }

    /// Records how all viewers stand now.
    pub(super) fn sample(&self, timeline: &mut Timeline) -> anyhow::Result<()> {
        let mut all = Snapshot::default();
        for post in &self.posts {
            all.merge(post.viewers.snapshot()?);
        }
        timeline.sample(&all);
        Ok(())
    }

    /// Waits until the pictures of all viewers say that their number may be old, or none does.
    pub(super) fn all_stale(&self, posts: &[usize], stale: Goal, within: Duration) -> anyhow::Result<Duration> {
        let begun = headcount_testkit::clock::now_ns();
        for &index in posts {
            let post = &self.posts[index];
            let goal = if let Goal::Stale(_) = stale { Goal::Stale(post.count) } else { stale };
            let left = within.saturating_sub(between(begun, headcount_testkit::clock::now_ns()));
            post.viewers.reach(goal, left).with_context(|| format!("viewers of node {index}"))?;
        }
        Ok(between(begun, headcount_testkit::clock::now_ns()))
    }

    /// From now on, the lowest number that anybody sees is recorded afresh.
    pub(super) fn forget_extremes(&self) -> anyhow::Result<()> {
        for post in &self.posts {
            post.viewers.forget_extremes()?;
        }
        Ok(())
    }

    /// Checks that nobody has seen less than `truth` since.
    pub(super) fn never_below(&self, truth: u64, timeline: &mut Timeline) -> anyhow::Result<()> {
        for (index, post) in self.posts.iter().enumerate() {
            let snapshot = post.viewers.snapshot()?;
            if snapshot.lowest.is_some_and(|lowest| lowest < truth) {
                bail!("viewers of node {index} saw {:?} while there were {truth}", snapshot.lowest);
            }
            if snapshot.live != post.count {
                bail!("viewers of node {index} were dropped: {snapshot}");
            }
        }
        timeline.add(format!("nobody was dropped, nobody saw less than {truth}"));
        Ok(())
    }
}
