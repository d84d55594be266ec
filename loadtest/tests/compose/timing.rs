//! How long something took, against how long it may take.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use headcount_testkit::wait_until;

/// Waits until `met` holds, prints how long that took from `since`, and holds it to `bound`.
pub(crate) fn within<T>(
    what: &str,
    since: Instant,
    bound: Duration,
    met: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // Looks on beyond the bound: a number that comes late is another fault than one that never comes.
    let met = wait_until(what, bound.saturating_sub(since.elapsed()) + Duration::from_secs(30), met)?;
    took(what, since.elapsed(), bound).context("too late")?;
    Ok(met)
}

/// Prints how long something took, and holds it to its bound.
pub(crate) fn took(what: &str, time: Duration, bound: Duration) -> anyhow::Result<()> {
    println!("  {what}: {:.2} s (at most {} s)", time.as_secs_f64(), bound.as_secs_f64());
    ensure!(time <= bound, "{what} took {time:?}, which is more than {bound:?}");
    Ok(())
}
