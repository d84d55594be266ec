//! `headcount reload`: sends a node SIGHUP and waits for the outcome, for service managers and for containers without a shell.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::options::ReloadOptions;
use crate::reload::{Activity, ReloadStatus};

/// Longer than a reload takes: at most 10 s until Redis answers, 10 s for the check, and a second. Shorter than the 90 s that
/// systemd gives an `ExecReload` by default.
const WITHIN: Duration = Duration::from_secs(30);
/// Longer than it takes from the end of one program to the start of the next.
const BETWEEN_PROGRAMS: Duration = Duration::from_secs(3);
/// Interval at which the node is asked.
const POLL: Duration = Duration::from_millis(50);

/// Reloads a node, and prints one line about that.
///
/// # Errors
/// Fails if there is no node, with the node's reason if it has not reloaded, or if the outcome is not known in time.
pub(crate) fn run(options: &ReloadOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async { tokio::time::timeout(WITHIN, reload(options.pid)).await });
    let outcome = outcome.with_context(|| format!("no outcome within {WITHIN:?}; the node's log may say why"))?;
    println!("headcount: {}", outcome?);
    Ok(())
}

/// Returns how the first reload ended that began after this was called.
async fn reload(pid: i32) -> anyhow::Result<String> {
    let no_node = || format!("process {pid} is no node that can be reloaded from here; --pid names another process");
    let before = begun(pid).await.with_context(no_node)?;
    if before.activity == Activity::Stopping {
        bail!("not reloaded: the node is stopping");
    }
    let process = Pid::from_raw(pid);
    signal::kill(process, Signal::SIGHUP).with_context(|| format!("cannot send SIGHUP to process {pid}"))?;
    // One that is in progress may have read the files before they were changed.
    let wanted = before.ended + u64::from(before.activity == Activity::Reloading) + 1;
    loop {
        tokio::time::sleep(POLL).await;
        let now = match ReloadStatus::of(pid).await {
            Ok(now) => now,
            // The new program starts, unless there is none.
            Err(_) if signal::kill(process, None).is_ok() => continue,
            Err(_) => bail!("the node has ended; its log says why"),
        };
        if now.ended >= wanted {
            let newest = now.newest.unwrap_or_else(|| Ok("reloaded".to_owned()));
            return newest.map_err(|error| anyhow::anyhow!("not reloaded: {}", on_one_line(&error)));
        }
        // A program that has taken the viewers over has counted that as one more.
        if now.run != before.run && now.ended <= before.ended {
            bail!("another program runs, but could not go on with the viewers: their streams have ended");
        }
        if now.activity == Activity::Stopping {
            bail!("not reloaded: the node is stopping");
        }
    }
}

/// Asks a node that may be between two programs, and does not answer then.
async fn begun(pid: i32) -> std::io::Result<ReloadStatus> {
    let asked = Instant::now();
    loop {
        match ReloadStatus::of(pid).await {
            Err(_) if asked.elapsed() < BETWEEN_PROGRAMS => tokio::time::sleep(POLL).await,
            answer => return answer,
        }
    }
}

/// What `check` prints has a line for each error, and the program's name before each.
fn on_one_line(error: &str) -> String {
    error.lines().map(|line| line.strip_prefix("headcount: ").unwrap_or(line)).collect::<Vec<_>>().join("; ")
}
