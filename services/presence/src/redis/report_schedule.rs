//! When a reporter calls Redis next, and which upkeep its heartbeats ask for.

use std::time::Duration;

use tokio::time::Instant;

use super::counter_view::CounterView;
use super::reply::{Reply, State};
use super::scripts::Upkeep;
use crate::settings::Timing;

/// Heartbeats come up to this part of their interval earlier, at random, so that nodes do not fall in step.
pub(super) const HEARTBEAT_JITTER: f64 = 0.04;

/// About this many nodes call at the end of the earliest lease, to detect that its node has died. Enough that the
/// death of some of them does not matter: the heartbeats of the others come as well.
const WATCHERS: f64 = 3.5;

/// The same while a session is only suspected to have ended: rare, and nobody else may come in time.
const SUSPICION_WATCHERS: f64 = 10.0;

/// Of few nodes more watch: after a loss their heartbeats are in step, and the next ones may be a heartbeat away.
const FEW_NODES_WATCHERS: f64 = 8.0;

/// How long after the end of a lease a watcher calls: by then it has ended, despite rounding.
const AFTER_LEASE: Duration = Duration::from_millis(10);

/// The time over which the watchers' calls are spread.
const WATCHERS_SPREAD: Duration = Duration::from_millis(50);

/// Audits come up to this part of their interval earlier, at random: counters that were opened together are not audited
/// together for ever.
const AUDIT_JITTER: f64 = 0.2;

/// If few nodes share a counter, each may report more often than every `report_gap`: Redis gets at most one report in
/// this time from all of them together, which costs a hundredth of its core.
const REPORT_SHARE: Duration = Duration::from_millis(8);

/// While changes of others wait to be published as well, each node reports at most every so many of these as there are nodes:
/// however many nodes change all the time, Redis gets about 1,000 reports a second, a twentieth of its core.
const CROWD_SHARE: Duration = Duration::from_millis(1);

/// The longest time between two reports for that reason.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// The follow-ups of nodes whose changes wait for the same publication are spread over so many of these as there are nodes:
/// the first of them makes the others needless.
const FOLLOW_UP_SHARE: Duration = Duration::from_micros(100);

/// The schedule of one reporter. Changes are reported as well, whenever there are any.
pub(super) struct ReportSchedule {
    last_call: Option<Instant>,
    next_heartbeat: Instant,
    /// A call that is needed before the next heartbeat.
    follow_up: Option<FollowUp>,
    next_audit: Instant,
    /// The last reply has said that changes wait to be published.
    is_crowded: bool,
    /// Nodes that have a session at this counter, by the last reply.
    nodes: u32,
}

#[derive(Clone, Copy)]
struct FollowUp {
    at: Instant,
    /// Not needed once a newer publication than this state's has been delivered.
    unless_newer_than: Option<State>,
}

impl ReportSchedule {
    /// Starts with a heartbeat.
    pub(super) fn new() -> ReportSchedule {
        let now = Instant::now();
        ReportSchedule {
            last_call: None,
            next_heartbeat: now,
            follow_up: None,
            next_audit: now,
            is_crowded: false,
            nodes: 0,
        }
    }

    pub(super) fn heartbeat_is_due(&self) -> bool {
        Instant::now() >= self.next_heartbeat
    }

    /// The number of nodes that have a session at this counter, by the last reply.
    pub(super) fn nodes(&self) -> u32 {
        self.nodes
    }

    /// When to check [`is_due`](ReportSchedule::is_due) again.
    pub(super) fn next(&self) -> Instant {
        self.follow_up.map_or(self.next_heartbeat, |follow_up| follow_up.at.min(self.next_heartbeat))
    }

    /// Whether a call is due now. Removes a follow-up whose time has come.
    pub(super) fn is_due(&mut self, view: &CounterView) -> bool {
        let now = Instant::now();
        let follow_up = self.follow_up.take_if(|follow_up| follow_up.at <= now);
        let is_done = |it: FollowUp| it.unless_newer_than.is_some_and(|state| view.has_newer_than(&state));
        let follows_up = follow_up.is_some_and(|it| !is_done(it));
        // Nobody else has had it published.
        self.is_crowded &= !follows_up;
        self.heartbeat_is_due() || follows_up
    }

    /// The earliest time of the next call.
    pub(super) fn earliest(&self, timing: &Timing) -> Instant {
        let mut gap = timing.report_gap.min(REPORT_SHARE.saturating_mul(self.nodes.max(1)));
        if self.is_crowded {
            gap = gap.max(CROWD_SHARE.saturating_mul(self.nodes).min(LONGEST_GAP));
        }
        self.last_call.map_or_else(Instant::now, |last_call| last_call + gap)
    }

    /// The upkeep that the next heartbeat asks for.
    pub(super) fn upkeep(&self) -> Upkeep {
        if Instant::now() >= self.next_audit { Upkeep::Audit } else { Upkeep::None }
    }

    /// Called after a heartbeat with this upkeep.
    pub(super) fn kept_up(&mut self, upkeep: Upkeep, timing: &Timing) {
        if upkeep == Upkeep::Audit {
            self.next_audit = Instant::now() + timing.audit().mul_f64(1.0 - rand::random_range(0.0..AUDIT_JITTER));
        }
    }

    /// Makes the next heartbeat an audit.
    pub(super) fn audit_next(&mut self) {
        self.next_audit = Instant::now();
    }

    /// Whether the next call is a heartbeat: no reply has asked for another one before.
    pub(super) fn is_quiet(&self) -> bool {
        self.last_call.is_some() && self.follow_up.is_none()
    }

    /// Plans the next call after a renewal: no earlier than `next_heartbeat`, unless this node is to watch the other
    /// nodes' leases, none of which ends before `due` has passed.
    pub(super) fn plan_renewal(&mut self, next_heartbeat: Instant, due: Duration, timing: &Timing) {
        self.last_call = Some(Instant::now());
        self.next_heartbeat = next_heartbeat;
        self.watch(Some(due), self.nodes > 1, timing);
    }

    /// Makes the next call due within this time.
    pub(super) fn call_within(&mut self, time: Duration) {
        self.next_heartbeat = self.next_heartbeat.min(Instant::now() + time);
    }

    /// Makes the next call due at once, for instance because Redis's clock was stepped.
    pub(super) fn call_now(&mut self) {
        self.next_heartbeat = Instant::now();
    }

    /// Plans the next call after a reply. `first_sent` is when its call was first sent; `others` is the number of other
    /// nodes' leases, which this node may have to watch.
    pub(super) fn plan(&mut self, reply: &Reply, others: u64, first_sent: Instant, timing: &Timing) {
        let now = Instant::now();
        self.last_call = Some(now);
        self.nodes = u32::try_from(reply.nodes).unwrap_or(u32::MAX);
        self.next_heartbeat = first_sent + timing.heartbeat.mul_f64(1.0 - rand::random_range(0.0..HEARTBEAT_JITTER));
        self.follow_up = None;
        self.is_crowded = reply.held.is_some();
        if let Some(held) = reply.held {
            let spread = FOLLOW_UP_SHARE.saturating_mul(self.nodes).min(LONGEST_GAP).mul_f64(rand::random());
            self.follow_up = Some(FollowUp { at: now + held + spread, unless_newer_than: Some(reply.state) });
        } else if !reply.state.settling.is_zero() {
            self.follow_up = Some(FollowUp { at: now + reply.state.settling + AFTER_LEASE, unless_newer_than: None });
        }
        self.watch(reply.due, others > 0, timing);
    }

    /// Makes some of the nodes call when the earliest lease may have ended, which is in `due`.
    fn watch(&mut self, due: Option<Duration>, has_others: bool, timing: &Timing) {
        let Some(due) = due.filter(|_| has_others) else { return };
        let nodes = f64::from(self.nodes);
        let watchers = match due <= timing.suspicion {
            true => SUSPICION_WATCHERS,
            false => WATCHERS.max(FEW_NODES_WATCHERS - nodes / 4.0),
        };
        if rand::random_bool((watchers / nodes).min(1.0)) {
            let call = Instant::now() + due + AFTER_LEASE + WATCHERS_SPREAD.mul_f64(rand::random());
            self.next_heartbeat = self.next_heartbeat.min(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::Status;
    use super::*;

    fn reply(nodes: u64) -> Reply {
        let state = State { epoch: 1, version: 1, count: 1, visitors: 1, seq: 1, settling: Duration::ZERO };
        let session = "s".to_owned();
        Reply { status: Status::Ok, now: 1, state, held: None, due: None, nodes, reap: None, session }
    }

    #[tokio::test(start_paused = true)]
    async fn fewer_nodes_report_more_often_each() {
        let timing = Timing::default();
        let now = Instant::now();
        for (nodes, gap) in [(0, 8), (1, 8), (3, 24), (6, 48), (7, 50), (1000, 50), (u64::MAX, 50)] {
            let mut schedule = ReportSchedule::new();
            schedule.plan(&reply(nodes), nodes.saturating_sub(1), now, &timing);
            assert_eq!(schedule.earliest(&timing), now + Duration::from_millis(gap), "{nodes} nodes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_of_a_crowd_report_less_often_each() {
        let (timing, now) = (Timing::default(), Instant::now());
        for (nodes, gap) in [(3, 24), (50, 50), (100, 100), (400, 400), (1_000, 1_000), (u64::MAX, 1_000)] {
            let mut schedule = ReportSchedule::new();
            let reply = Reply { held: Some(Duration::from_millis(20)), ..reply(nodes) };
            schedule.plan(&reply, nodes - 1, now, &timing);
            let earliest = schedule.earliest(&timing).duration_since(now);
            assert_eq!(earliest.as_millis(), gap, "{nodes} nodes");
            // The follow-up comes soon, whatever the others do.
            assert!(schedule.next() <= now + Duration::from_millis(20) + LONGEST_GAP, "{nodes} nodes");
        }
    }
}
