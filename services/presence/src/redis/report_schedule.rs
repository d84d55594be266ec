//! When a reporter speaks to Redis next, and what its heartbeats ask for.

use std::time::Duration;

use tokio::time::Instant;

use super::counter_view::CounterView;
use super::keys::KEEP;
use super::reply::{Reply, State};
use super::scripts::Upkeep;
use crate::settings::Timing;

/// Heartbeats come up to this part of their interval earlier, by chance, so that nodes do not fall in step.
const HEARTBEAT_JITTER: f64 = 0.04;

/// Of how many nodes about this many come back at the end of the earliest lease to see whether its node has died.
/// Enough that the death of some of them does not matter; the heartbeats of the others come as well.
const WATCHERS: f64 = 3.5;

/// How much after the end of a lease a watcher comes: by then it has ended, whatever the rounding.
const AFTER_LEASE: Duration = Duration::from_millis(10);

/// The time over which the watchers' visits are spread.
const WATCHERS_SPREAD: Duration = Duration::from_millis(50);

/// The registrations themselves are counted in every fourth heartbeat only: one command that a quiet counter need not
/// pay each time.
const AUDIT_EVERY: u32 = 4;

/// Where few nodes share a counter, each may report more often than every `report_gap`: Redis has no more than one
/// report in this time from all of them together, a hundredth of its core.
const REPORT_SHARE: Duration = Duration::from_millis(8);

/// One reporter's schedule. Changes are told besides, whenever there are any.
pub(super) struct ReportSchedule {
    last_call: Option<Instant>,
    next_heartbeat: Instant,
    /// When something remains to be looked after before the next heartbeat.
    follow_up: Option<FollowUp>,
    heartbeats: u32,
    /// Nodes that have viewers of this counter, by the last reply.
    nodes: u32,
}

#[derive(Clone, Copy)]
struct FollowUp {
    at: Instant,
    /// Only until a publication newer than this is heard.
    unless_after: Option<State>,
}

impl ReportSchedule {
    /// Begins with a heartbeat.
    pub(super) fn new() -> ReportSchedule {
        ReportSchedule { last_call: None, next_heartbeat: Instant::now(), follow_up: None, heartbeats: 0, nodes: 0 }
    }

    pub(super) fn heartbeat_is_due(&self) -> bool {
        Instant::now() >= self.next_heartbeat
    }

    /// When to look again whether something is due.
    pub(super) fn next(&self) -> Instant {
        self.follow_up.map_or(self.next_heartbeat, |follow_up| follow_up.at.min(self.next_heartbeat))
    }

    /// Whether something is to be asked now. A follow-up whose time has come is struck off.
    pub(super) fn is_due(&mut self, view: &CounterView) -> bool {
        let now = Instant::now();
        let follow_up = self.follow_up.take_if(|follow_up| follow_up.at <= now);
        let is_done = |it: FollowUp| it.unless_after.is_some_and(|state| view.has_heard_after(&state));
        self.heartbeat_is_due() || follow_up.is_some_and(|it| !is_done(it))
    }

    /// Before when Redis is not to be spoken to again.
    pub(super) fn earliest(&self, timing: &Timing) -> Instant {
        let gap = timing.report_gap.min(REPORT_SHARE.saturating_mul(self.nodes.max(1)));
        self.last_call.map_or_else(Instant::now, |last_call| last_call + gap)
    }

    /// What this heartbeat asks for besides.
    pub(super) fn upkeep(&mut self, timing: &Timing) -> Upkeep {
        self.heartbeats = self.heartbeats.wrapping_add(1);
        // Three times within its life, a key is prolonged.
        let keep_every = (KEEP.as_secs_f64() / 3.0 / timing.heartbeat.as_secs_f64()) as u32 / AUDIT_EVERY;
        match self.heartbeats {
            beat if beat.is_multiple_of(AUDIT_EVERY * keep_every.max(1)) => Upkeep::Keep,
            beat if beat.is_multiple_of(AUDIT_EVERY) => Upkeep::Audit,
            _ => Upkeep::None,
        }
    }

    /// Plans what comes after a reply to a call that was first made when it `asked`, with so many `others` to watch over:
    /// nobody need watch over himself.
    pub(super) fn plan(&mut self, reply: &Reply, others: u64, asked: Instant, timing: &Timing) {
        let now = Instant::now();
        self.last_call = Some(now);
        self.nodes = u32::try_from(reply.nodes).unwrap_or(u32::MAX);
        self.next_heartbeat = asked + timing.heartbeat.mul_f64(1.0 - rand::random_range(0.0..HEARTBEAT_JITTER));
        self.follow_up = None;
        if let Some(held) = reply.held {
            self.follow_up = Some(FollowUp { at: now + held, unless_after: Some(reply.state) });
        } else if !reply.state.settling.is_zero() {
            self.follow_up = Some(FollowUp { at: now + reply.state.settling + AFTER_LEASE, unless_after: None });
        }
        let watches = others > 0 && rand::random_bool((WATCHERS / reply.nodes as f64).min(1.0));
        if let Some(due) = reply.due.filter(|_| watches) {
            let visit = now + due + AFTER_LEASE + WATCHERS_SPREAD.mul_f64(rand::random());
            self.next_heartbeat = self.next_heartbeat.min(visit);
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
    async fn the_fewer_nodes_there_are_the_more_often_each_reports() {
        let timing = Timing::default();
        let now = Instant::now();
        for (nodes, gap) in [(0, 8), (1, 8), (3, 24), (6, 48), (7, 50), (1000, 50), (u64::MAX, 50)] {
            let mut schedule = ReportSchedule::new();
            schedule.plan(&reply(nodes), nodes.saturating_sub(1), now, &timing);
            assert_eq!(schedule.earliest(&timing), now + Duration::from_millis(gap), "{nodes} nodes");
        }
    }
}
