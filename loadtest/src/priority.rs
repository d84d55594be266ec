//! Who goes first where a measurement shares its cores with what it measures.

use rustix::process::{Pid, setpriority_process};

/// What those who go first are set to, of -20 to 19: one of them weighs as much as nine others.
const NICENESS: i32 = -10;

/// Lets the thread of this id go first; `None` is the caller. Only root may, for anybody else nothing changes.
pub(crate) fn prefer(thread: Option<Pid>) {
    let _ = setpriority_process(thread, NICENESS);
}
