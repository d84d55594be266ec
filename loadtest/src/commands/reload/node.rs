//! [`ReloadedNode`]: a node whose program and configuration are files of its own, which can be replaced.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use headcount_testkit::{Node, NodeOptions, RedisServer, program, usage, wait_until};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// Time for a node to start, or to say that it has not reloaded.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the count is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// In the node itself.
    OwnProcess,
    /// In Redis, with a second node.
    Redis,
}

/// The node, and what it needs.
pub(super) struct ReloadedNode {
    pub(super) node: Node,
    /// The other node of the same Redis.
    pub(super) other: Option<Node>,
    folder: TempDir,
    _redis: Option<RedisServer>,
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holdings {
    pub(super) pss_bytes: u64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
}

impl ReloadedNode {
    pub(super) fn start(store: Store) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the node's program")?;
        let redis = (store == Store::Redis).then(RedisServer::start).transpose()?;
        fs::write(folder.path().join("headcount.toml"), "")?;
        let program = folder.path().join("headcount");
        install(&folder)?;
        let config = folder.path().join("headcount.toml").display().to_string();
        // Only reloads and changes send a frame: a keep-alive would be taken for the next one.
        let quiet = ["--keepalive", "1h", "--stall-limit", "1h", "--limit-exempt", "127.0.0.0/8"];
        let options = NodeOptions { redis: redis.as_ref().map(RedisServer::url), ..NodeOptions::default() }.with(quiet);
        let reloaded = NodeOptions { program: Some(program), ..options.clone() }.with(["--config", &config]);
        let node = Node::start(&reloaded)?;
        node.ready(PATIENCE)?;
        let other = redis.is_some().then(|| Node::start(&options)).transpose()?;
        Ok(Self { node, other, folder, _redis: redis })
    }

    /// Puts the program there anew, as an upgrade does: another file under the same name.
    pub(super) fn install(&self) -> anyhow::Result<()> {
        install(&self.folder)
    }

    /// Puts something there that is no program of ours.
    pub(super) fn install_broken(&self) -> anyhow::Result<()> {
        let new = self.folder.path().join("new");
        fs::write(&new, "#!/bin/sh\necho 'this is not a node' >&2\nexit 1\n")?;
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(fs::rename(new, self.program())?)
    }

    /// Writes the configuration file.
    pub(super) fn configure(&self, text: &str) -> anyhow::Result<()> {
        Ok(fs::write(self.folder.path().join("headcount.toml"), text)?)
    }

    /// Sends SIGHUP.
    pub(super) fn signal(&self) -> anyhow::Result<()> {
        Ok(self.node.process().signal(Signal::SIGHUP)?)
    }

    /// How many reloads have ended so. The admin port pauses during a reload.
    pub(super) fn reloads(&self, outcome: &str) -> anyhow::Result<u64> {
        let series = format!("headcount_reloads_total{{outcome=\"{outcome}\"}} ");
        Ok(wait_until("the node's metrics", PATIENCE, || {
            let metrics = self.node.metrics().map_err(|error| error.to_string())?;
            let value = metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok());
            value.ok_or_else(|| format!("no {series}"))
        })?)
    }

    /// Waits until this many reloads have ended so.
    pub(super) fn has_reloaded(&self, outcome: &str, times: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.reloads(outcome)? < times {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "not {times} reloads {outcome}: {:?}", self.node.log().last());
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The pause of the newest reload.
    pub(super) fn pause(&self) -> anyhow::Result<Duration> {
        Ok(Duration::from_secs_f64(self.node.metric("headcount_reload_pause_seconds")?))
    }

    pub(super) fn holdings(&self) -> anyhow::Result<Holdings> {
        let id = self.node.process().id();
        Ok(Holdings {
            pss_bytes: usage::of(id)?.pss_bytes,
            descriptors: usage::descriptors(id)?,
            threads: fs::read_dir(format!("/proc/{id}/task"))?.count(),
        })
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("headcount")
    }
}

fn install(folder: &TempDir) -> anyhow::Result<()> {
    let new = folder.path().join("new");
    fs::copy(program::find("headcount")?, &new).context("a copy of the node's program")?;
    Ok(fs::rename(new, folder.path().join("headcount"))?)
}
