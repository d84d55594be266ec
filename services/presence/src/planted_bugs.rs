//! Mistakes that are made on purpose, to see that the load test finds them out. Only with the feature `planted-mistakes`,
//! which no released binary has.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::local_viewers::{LocalViewers, ViewerId};
use crate::visitor::Visitor;

#[cfg(not(debug_assertions))]
compile_error!("planted-mistakes is for tests: it is not built without debug assertions");

/// Says which mistake is made; none by default.
const VARIABLE: &str = "HEADCOUNT_PLANTED_MISTAKE";

/// One viewer of so many has it.
const EVERY: u64 = 7;

/// How late a join is applied again: when the number has long been right.
const LATE: Duration = Duration::from_millis(700);

/// The second of two registrations of a viewer: above all ids that a process gives out in its life.
const SECOND: u64 = 1 << 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// A leave is never told to anybody.
    LostLeave,
    /// A join is applied again under another id, late.
    DoubledJoin,
}

static MISTAKE: LazyLock<Option<Mistake>> = LazyLock::new(|| match std::env::var(VARIABLE).as_deref() {
    Ok("lost-leave") => Some(Mistake::LostLeave),
    Ok("doubled-join") => Some(Mistake::DoubledJoin),
    Ok(other) => panic!("{VARIABLE} is lost-leave or doubled-join, not {other:?}"),
    Err(_) => None,
});

/// Whether this viewer's leave is lost.
pub(crate) fn loses_leave(viewer: ViewerId) -> bool {
    *MISTAKE == Some(Mistake::LostLeave) && is_hit(viewer)
}

/// What goes wrong after a viewer has begun to count.
pub(crate) fn after_take(local_viewers: &Arc<LocalViewers>, viewer: ViewerId, visitor: Visitor) {
    if *MISTAKE == Some(Mistake::DoubledJoin) && is_hit(viewer) {
        let local_viewers = Arc::clone(local_viewers);
        std::thread::spawn(move || {
            std::thread::sleep(LATE);
            local_viewers.join(ViewerId(viewer.0 + SECOND), visitor);
        });
    }
}

fn is_hit(viewer: ViewerId) -> bool {
    viewer.0 % EVERY == EVERY - 1
}
