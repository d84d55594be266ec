//! [`Needs`]: whether this machine has the resources for a number of viewers, and what to set if not.

use std::fs;

use anyhow::Context;
use headcount_testkit::ports;

use crate::report::Table;

/// Memory of the kernel for one viewer over loopback, both ends together.
const KERNEL_BYTES: u64 = 7_700;
/// Memory of a node, a client and Redis for one viewer.
const PROCESS_BYTES: u64 = 1_300;
/// Memory of an idle node and of an idle client process.
const NODE_BYTES: u64 = 14 << 20;
/// Memory that is left to everything else.
const RESERVED_BYTES: u64 = 1 << 30;

/// One thing that viewers take.
struct Need {
    what: &'static str,
    wanted: u64,
    has: u64,
    /// The largest number of viewers that it suffices for.
    enough_for: u64,
    /// How to have more of it.
    advice: String,
}

pub(super) struct Needs(Vec<Need>);

impl Needs {
    /// The resources for `viewers` on this number of nodes.
    pub(super) fn of(viewers: usize, nodes: usize) -> anyhow::Result<Self> {
        let (viewers, nodes) = (viewers as u64, nodes as u64);
        let mut needs = Vec::new();
        let mut need =
            |what, wanted, has, enough_for, advice| needs.push(Need { what, wanted, has, enough_for, advice });
        let fixed = nodes * NODE_BYTES + RESERVED_BYTES;
        let available = available_bytes()?;
        let each = KERNEL_BYTES + PROCESS_BYTES;
        let wanted = (viewers * each + fixed) >> 20;
        let enough_for = available.saturating_sub(fixed) / each;
        need("memory, in MiB", wanted, available >> 20, enough_for, "more memory".into());
        // Each connection is an open file at both ends.
        let files = number("/proc/sys/fs/file-max")?;
        let wanted = viewers * 2 + nodes * 200;
        let enough_for = files.saturating_sub(nodes * 200) / 2;
        need("open files of all processes", wanted, files, enough_for, format!("sysctl fs.file-max={wanted}"));
        let range = ports::outgoing().context("the range of outgoing ports")?;
        let has = u64::from(*range.end() - *range.start()) + 1;
        let advice = "sysctl net.ipv4.ip_local_port_range='1024 65535'".into();
        need("outgoing ports towards one node", viewers.div_ceil(nodes), has, has * nodes, advice);
        // Where nothing is tracked, as without a firewall's rules, the table's size does not matter.
        if let (Ok(tracked @ 1..), Ok(most)) =
            (number("/proc/sys/net/netfilter/nf_conntrack_count"), number("/proc/sys/net/netfilter/nf_conntrack_max"))
        {
            let wanted = viewers + tracked + 10_000;
            let advice = format!("sysctl net.netfilter.nf_conntrack_max={wanted}");
            need("tracked connections", wanted, most, most.saturating_sub(tracked + 10_000), advice);
        }
        // Past it, what is sent over loopback is lost: the acknowledgements of a push, when they all fall due at once.
        let backlog = number("/proc/sys/net/core/netdev_max_backlog")?;
        let wanted = 1_000.max(viewers / 10);
        let advice = format!("sysctl net.core.netdev_max_backlog={wanted}");
        need("packets on their way over loopback", wanted, backlog, backlog * 10, advice);
        let queue = number("/proc/sys/net/core/somaxconn")?;
        let enough_for = if queue < 1024 { 0 } else { u64::MAX };
        need("connections that wait to be accepted", 1024, queue, enough_for, "sysctl net.core.somaxconn=4096".into());
        Ok(Self(needs))
    }

    /// Whether something does not suffice.
    pub(super) fn lacking(&self) -> bool {
        self.0.iter().any(|need| need.has < need.wanted)
    }

    /// The largest number of viewers that all of it suffices for.
    pub(super) fn largest(&self) -> u64 {
        self.0.iter().map(|need| need.enough_for).min().unwrap_or(0)
    }

    /// What to set.
    pub(super) fn advice(&self) -> impl Iterator<Item = String> + '_ {
        let lacking = self.0.iter().filter(|need| need.has < need.wanted);
        lacking
            .map(|need| format!("{}: {} are wanted, there are {}: {}", need.what, need.wanted, need.has, need.advice))
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new("What they take", &["", "wanted", "there"]);
        for need in &self.0 {
            table.row(vec![need.what.into(), need.wanted.to_string(), need.has.to_string()]);
        }
        table
    }
}

/// Memory that can be had.
pub(super) fn available_bytes() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("no MemAvailable")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("MemAvailable is no number")?;
    Ok(kib << 10)
}

fn number(path: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    text.trim().parse().with_context(|| format!("{path} holds {text:?}"))
}
