//! Who goes first where a measurement shares its cores with what it measures.

use rustix::process::{Pid, setpriority_process};

/// What those who go first are set to, of -20 to 19: one of them weighs as much as nine others.
const NICENESS: i32 = -10;

/// Lets the calling thread go before all others, and whatever it starts from then on. Only root may, for anybody else
/// nothing changes.
pub fn prefer_this_thread() {
    prefer(None);
}

/// The same for the thread of this id; `None` is the caller.
pub(crate) fn prefer(thread: Option<Pid>) {
    let _ = setpriority_process(thread, NICENESS);
}
