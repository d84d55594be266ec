//! What the node tells systemd, where it runs as a service of `Type=notify`. Elsewhere nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::phase::Phase;

/// Interval of the status line.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);
/// What a node that drains asks for, each time: until its next status but two, whatever the unit's `TimeoutStopSec` is. A drain
/// may be set to take hours, and systemd ends one that hangs within this time.
const STOP_TIME: Duration = STATUS_INTERVAL.saturating_mul(3);

/// The node serves.
pub(crate) fn ready() {
    send(&[NotifyState::Ready]);
}

/// A reload begins. systemd waits for [`ready`], from this process, whether or not the reload succeeds.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("no time for systemd: {error}"),
    }
}

/// The node drains.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Keeps systemd's watchdog quiet while `is_alive`, and its status line up to date; asks for time while the node drains. Runs
/// until dropped: it ends with the runtime that would no longer serve anybody.
pub(crate) async fn report(
    is_alive: impl Fn() -> bool,
    viewers: impl Fn() -> usize,
    mut phases: watch::Receiver<Phase>,
) {
    // Half of the watchdog's time, as sd_watchdog_enabled(3) recommends.
    let watchdog = watchdog().map(|time| time / 2);
    let mut ticks = tokio::time::interval(watchdog.unwrap_or(STATUS_INTERVAL).min(STATUS_INTERVAL));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = phases.changed() => {}
        }
        let drains = matches!(*phases.borrow(), Phase::Unready | Phase::Ending { .. });
        let status = format!("{}{} viewers", if drains { "draining, " } else { "" }, viewers());
        let mut states = vec![NotifyState::Status(&status)];
        if watchdog.is_some() && is_alive() {
            states.push(NotifyState::Watchdog);
        }
        if drains {
            states.push(NotifyState::ExtendTimeoutUsec(STOP_TIME.as_micros() as u32));
        }
        send(&states);
    }
}

fn watchdog() -> Option<Duration> {
    let mut microseconds = 0;
    sd_notify::watchdog_enabled(false, &mut microseconds).then(|| Duration::from_micros(microseconds))
}

/// Does nothing outside systemd. The variable stays: the program that a reload runs needs it too.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!("systemd does not listen: {error}");
    }
}
