//! Reload: on SIGHUP the program at this process's path runs under the same viewers, with the configuration as it is now.
//!
//! The process gathers a [`Handover`]: its listeners, its viewers' sockets and all that it knows of them. It writes it into a
//! memory file, keeps those descriptors open, and calls `execve`. The new program finds the memory file by the variable
//! `HEADCOUNT_HANDOVER` and goes on. `node` gathers the handover and starts from one; this module only carries it.

mod descriptors;
mod ending_streams;
mod format;
mod handover;
mod metrics;
mod program;
mod signal_mask;
mod status;

pub(crate) use self::ending_streams::end_all;
pub(crate) use self::format::Inherited;
pub(crate) use self::handover::{
    DetachedViewer, EndingStream, FeedState, Handover, Listener, LooksState, NodeState, Ports, ReturningState, Waiting,
};
pub(crate) use self::metrics::{Outcome, ReloadMetrics, ReloadTotals};
pub(crate) use self::program::Program;
pub(crate) use self::signal_mask::{hold_signals, release_signals};
pub(crate) use self::status::{Activity, ReloadStatus, StatusSocket};

/// Ends the streams of a former program, if there is one, because this one cannot start. Waits until they have ended, at most
/// 2 s.
pub(crate) fn end_inherited() {
    let streams = match inherited() {
        Ok(Some(inherited)) => inherited.into_ending_streams(),
        _ => return,
    };
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
        runtime.block_on(end_all(streams));
    }
}

/// Returns what a former program has handed over to this process, once.
///
/// # Errors
/// Fails if there is something that this program cannot read.
pub(crate) fn inherited() -> Result<Option<Inherited>, format::FormatError> {
    descriptors::inherited_file().map(format::read).transpose()
}
