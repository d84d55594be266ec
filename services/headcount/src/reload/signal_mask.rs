//! Which signals wait while one program replaces another. `execve` keeps the mask and the signals that wait, so a SIGTERM or
//! SIGHUP in between is neither lost nor kills the process before it has a handler.

use nix::sys::signal::{SigSet, Signal};

/// The signals that the node handles.
const HANDLED: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// Lets the node's signals wait. Threads started by this one inherit that: call it before any other is started, so that
/// signals go to this thread alone.
///
/// # Errors
/// Fails if the system refuses.
pub(crate) fn hold_signals() -> std::io::Result<()> {
    Ok(HANDLED.into_iter().collect::<SigSet>().thread_block()?)
}

/// Lets this thread receive the node's signals, those that wait included. Call it when their handlers are installed.
///
/// # Errors
/// Fails if the system refuses.
pub(crate) fn release_signals() -> std::io::Result<()> {
    Ok(HANDLED.into_iter().collect::<SigSet>().thread_unblock()?)
}
