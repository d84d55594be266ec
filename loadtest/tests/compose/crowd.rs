//! [`Crowd`]: viewers through the load balancer, and whether all agree on their number.

use std::time::{Duration, Instant};

use anyhow::ensure;
use headcount_testkit::{Batch, Goal, Snapshot, Viewers};

use crate::{stack::Stack, timing::within};

/// Viewers of one counter on the plain port.
pub(crate) struct Crowd<'a> {
    stack: &'a Stack,
    counter: &'static str,
    url: String,
    viewers: Viewers,
}

impl<'a> Crowd<'a> {
    /// Opens this many viewers.
    pub(crate) fn open(stack: &'a Stack, counter: &'static str, count: usize) -> anyhow::Result<Self> {
        let url = format!("http://{}/{counter}.png", stack.service()?);
        let viewers = Viewers::open(count, &[&url])?;
        Ok(Self { stack, counter, url, viewers })
    }

    /// Opens as many more as are missing.
    pub(crate) fn fill(&self, count: usize) -> anyhow::Result<()> {
        let now = self.snapshot()?;
        let missing = count.saturating_sub(now.live);
        self.viewers.add(&Batch { count: missing, urls: vec![self.url.clone()], ..Batch::default() })?;
        let (_, opened) = self.viewers.reach(Goal::Opened, Duration::from_secs(30))?;
        ensure!(opened.live == count, "{count} viewers were to be open: {opened}");
        Ok(())
    }

    /// The state of the viewers.
    pub(crate) fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Ok(self.viewers.snapshot()?)
    }

    /// The viewers themselves.
    pub(crate) fn viewers(&self) -> &Viewers {
        &self.viewers
    }

    /// Waits until the number is right everywhere, prints how long that took from `since`, and holds it to `bound`:
    /// every node's own number, and every viewer's picture, is the number of connections that are open.
    pub(crate) fn exact(&self, what: &str, since: Instant, bound: Duration) -> anyhow::Result<()> {
        let live = within(&format!("{what}, until the number is exact everywhere"), since, bound, || {
            let snapshot = self.snapshot()?;
            let live = snapshot.live as u64;
            ensure!(snapshot.asking + snapshot.waiting == 0, "some are still on their way: {snapshot}");
            ensure!(live == 0 || snapshot.unanimous() == Some(live), "viewers do not agree: {snapshot}");
            ensure!(snapshot.stale == 0, "some pictures are marked stale: {snapshot}");
            let mut held = 0;
            for node in self.stack.nodes()? {
                let reading = node.reading(self.counter)?;
                ensure!(reading.count == live, "{} says {}, and {live} are open", node.address, reading.count);
                ensure!(!reading.stale, "{} is not sure of its {}", node.address, reading.count);
                held += node.viewers()?;
            }
            ensure!(held == live, "the nodes hold {held} streams, and {live} are open");
            Ok(live)
        })?;
        println!("    {live} viewers on {} nodes", self.stack.nodes()?.len());
        Ok(())
    }
}
