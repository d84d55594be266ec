//! The priority of threads whose measurement shares its cores with what it measures.

use rustix::process::{Pid, setpriority_process};

/// The nice value of preferred threads, of -20 to 19: one of them weighs as much as nine others.
const NICENESS: i32 = -10;

/// Raises the priority of the calling thread, and of everything that it starts from then on. Has no effect without root.
pub fn prefer_this_thread() {
    prefer(None);
}

/// The same for the thread of this id; `None` is the caller.
pub(crate) fn prefer(thread: Option<Pid>) {
    let _ = setpriority_process(thread, NICENESS);
}
