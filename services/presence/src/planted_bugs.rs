//! Bugs made on purpose, to show that the load test finds them. Only with the feature `planted-mistakes`, which no
//! released binary has.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::local_viewers::LocalViewers;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

#[cfg(not(debug_assertions))]
compile_error!("planted-mistakes is for tests: it is not built without debug assertions");

/// Names the bug. No bug without it.
const VARIABLE: &str = "HEADCOUNT_PLANTED_MISTAKE";

/// One viewer in this many is affected.
const EVERY: u64 = 3;

/// How late the doubled join is applied: when the number has long been right.
const LATE: Duration = Duration::from_millis(700);

/// Added to a viewer's id for its doubled join: above all ids that a process uses.
const DOUBLED: u64 = 1 << 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A leave is never reported.
    LostLeave,
    /// A join is applied again under another id, late.
    DoubledJoin,
}

static BUG: LazyLock<Option<Bug>> = LazyLock::new(|| match std::env::var(VARIABLE).as_deref() {
    Ok("lost-leave") => Some(Bug::LostLeave),
    Ok("doubled-join") => Some(Bug::DoubledJoin),
    Ok(other) => panic!("{VARIABLE} is lost-leave or doubled-join, not {other:?}"),
    Err(_) => None,
});

/// Whether this viewer's leave is lost.
pub(crate) fn loses_leave(viewer: ViewerId) -> bool {
    *BUG == Some(Bug::LostLeave) && is_affected(viewer)
}

/// Called after a viewer has started to count.
pub(crate) fn after_start(local_viewers: &Arc<LocalViewers>, viewer: ViewerId, visitor: Visitor) {
    if *BUG == Some(Bug::DoubledJoin) && is_affected(viewer) {
        let local_viewers = Arc::clone(local_viewers);
        std::thread::spawn(move || {
            std::thread::sleep(LATE);
            local_viewers.join(ViewerId(viewer.0 + DOUBLED), visitor);
        });
    }
}

fn is_affected(viewer: ViewerId) -> bool {
    viewer.0 % EVERY == EVERY - 1
}
