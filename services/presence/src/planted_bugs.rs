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
    /// A session ends as soon as its lease has run out, before its node can renew it, whatever Redis has been through.
    HastyEnd,
    /// Leases stay where they are when Redis's clock goes back.
    UnfollowedClock,
    /// Where registrations change, nothing checks whether keys are missing; and their life is prolonged less often.
    UncheckedKeys,
}

impl Bug {
    /// The texts of scripts that it replaces: the script's name, what is right, and what is wrong.
    fn replacements(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Bug::LostLeave | Bug::DoubledJoin => &[],
            Bug::HastyEnd => &[
                ("report", "if it.suspect then", "if true then"),
                ("report", "-- The caller's lease goes on before any ends", "end_expired() -- "),
            ],
            Bug::UnfollowedClock => &[(
                "report",
                "return end\n  local leases_went_back",
                "return end\n  if true then return end\n  local leases_went_back",
            )],
            Bug::UncheckedKeys => &[
                ("report", "if redis.call('HLEN', VIEWERS) ~= own.size or", "if false and"),
                ("reap", "if redis.call('EXISTS', VIEWERS) == 0 or", "if false and"),
                ("report", "now - own.kept < KEEP / 5", "now - own.kept < KEEP / 3"),
            ],
        }
    }
}

static BUG: LazyLock<Option<Bug>> = LazyLock::new(|| match std::env::var(VARIABLE).as_deref() {
    Ok("lost-leave") => Some(Bug::LostLeave),
    Ok("doubled-join") => Some(Bug::DoubledJoin),
    Ok("hasty-end") => Some(Bug::HastyEnd),
    Ok("unfollowed-clock") => Some(Bug::UnfollowedClock),
    Ok("unchecked-keys") => Some(Bug::UncheckedKeys),
    Ok(other) => {
        panic!("{VARIABLE} is lost-leave, doubled-join, hasty-end, unfollowed-clock or unchecked-keys, not {other:?}")
    }
    Err(_) => None,
});

/// The text of a script, with the bug in it.
pub(crate) fn spoil(script: &str, mut code: String) -> String {
    for (spoilt, right, wrong) in BUG.map(Bug::replacements).unwrap_or_default() {
        assert!(*spoilt != script || code.contains(right), "{script} does not contain {right:?}");
        code = code.replace(right, wrong);
    }
    code
}

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
