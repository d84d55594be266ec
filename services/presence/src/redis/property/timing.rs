//! The times of the cases.

use std::time::Duration;

use crate::settings::Timing;

/// Short enough that leases end within a case.
pub(in crate::redis) const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(30),
    lease: Duration::from_millis(60),
    suspicion: Duration::from_millis(15),
    settle: Duration::from_millis(25),
    stale_after: Duration::from_secs(10),
    keep: Duration::from_secs(300),
    report_gap: Duration::from_millis(5),
    publish_gap: Duration::from_millis(4),
    response_timeout: Duration::from_secs(1),
};
