//! Renews this node's leases at counters where it knows of no change: many in one call, the oldest leases first.
//!
//! A reporter waits here for its counter's next heartbeat. Where the reply says that something is not as the node knows
//! it, the reporter sends a report, as it does with changes. A bounded number of calls is in flight, and none is repeated
//! before it has been answered or given up, so a slow Redis is never asked for more than it can do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::clock::ClockReading;
use super::counter_view::CounterView;
use super::node::Node;
use super::report_schedule::HEARTBEAT_JITTER;
use super::scripts::{Renewal, Upkeep};

/// Most counters in one call: half a millisecond of Redis's time. More would not make it cheaper.
const COUNTERS_AT_ONCE: usize = 128;

/// Most calls in flight: one is answered while the next is on its way.
const CALLS_AT_ONCE: usize = 2;

/// The same of a cluster, where each call is about one counter, because a script's keys must be in one slot.
const CALLS_AT_ONCE_IN_CLUSTER: usize = 32;

/// The time between two attempts of a call.
const RETRY: Duration = Duration::from_millis(100);

/// The counters that wait for their next heartbeat.
#[derive(Default)]
pub(super) struct Renewals {
    queue: Mutex<Queue>,
    /// Signalled when another counter is the first of the queue.
    earlier: Notify,
}

#[derive(Default)]
struct Queue {
    /// By the time when they are due, and a number.
    waiting: BTreeMap<(Instant, u64), Waiting>,
    next_number: u64,
}

struct Waiting {
    renewal: Renewal,
    view: Arc<CounterView>,
    last_reply: ClockReading,
    answer: oneshot::Sender<Answer>,
}

/// What Redis has answered about one counter.
pub(super) struct Answer {
    pub(super) clock: ClockReading,
    /// The clock was stepped since it was last read.
    pub(super) stepped: bool,
    /// When the call was first sent: the lease was renewed from then.
    pub(super) first_sent: Instant,
    /// When the answered attempt was sent.
    pub(super) last_sent: Instant,
    /// When the next heartbeat is due, if nothing happens before.
    pub(super) next_heartbeat: Instant,
    pub(super) upkeep: Upkeep,
    /// The counter's earliest lease ends no sooner. `None` if the lease is not renewed, and the node is to report.
    pub(super) due: Option<Duration>,
}

/// Removes a counter from the queue that waits no longer.
struct Place<'a> {
    renewals: &'a Renewals,
    key: (Instant, u64),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.renewals.queue.lock().waiting.remove(&self.key);
    }
}

impl Queue {
    /// When the earliest is due.
    fn first(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// At most so many counters of those that are due.
    fn take(&mut self, most: usize) -> Vec<Waiting> {
        let (now, mut taken) = (Instant::now(), Vec::new());
        while let Some(first) = self.waiting.first_entry().filter(|it| taken.len() < most && it.key().0 <= now) {
            taken.push(first.remove());
        }
        taken
    }
}

impl Renewals {
    /// Renews the lease at this time, or as soon as Redis answers after it. May be dropped at any time: then the lease is
    /// not renewed, or it is and nobody knows.
    pub(super) async fn renew(
        &self,
        at: Instant,
        renewal: Renewal,
        view: Arc<CounterView>,
        last_reply: ClockReading,
    ) -> Answer {
        let (answer, answered) = oneshot::channel();
        let key = {
            let mut queue = self.queue.lock();
            queue.next_number += 1;
            let key = (at, queue.next_number);
            if queue.first().is_none_or(|first| at < first) {
                self.earlier.notify_one();
            }
            queue.waiting.insert(key, Waiting { renewal, view, last_reply, answer });
            key
        };
        let _place = Place { renewals: self, key };
        match answered.await {
            Ok(answer) => answer,
            // The node ends.
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends calls until cancelled.
    pub(super) async fn run(node: Arc<Node>) {
        let renewals = &node.renewals;
        let (most, collect, calls) = match node.commands.is_cluster() {
            true => (1, Duration::ZERO, CALLS_AT_ONCE_IN_CLUSTER),
            // Reports are collected for as long. So a node calls at most twenty times a second, unless the calls are full.
            false => (COUNTERS_AT_ONCE, node.timing.report_gap, CALLS_AT_ONCE),
        };
        let calls = Arc::new(Semaphore::new(calls));
        // Never closed.
        while let Ok(permit) = Arc::clone(&calls).acquire_owned().await {
            let batch = loop {
                let next = renewals.queue.lock().first().map(|first| first + collect);
                match next {
                    Some(next) if next <= Instant::now() => break renewals.queue.lock().take(most),
                    Some(next) => {
                        tokio::select! {
                            () = sleep_until(next) => {}
                            () = renewals.earlier.notified() => {}
                        }
                    }
                    None => renewals.earlier.notified().await,
                }
            };
            let calling = Arc::clone(&node);
            node.spawn_until_pause(async move {
                call(&calling, batch).await;
                drop(permit);
            });
        }
    }
}

/// Renews the leases of these counters. Repeats the call while Redis does not answer, and any of them waits.
async fn call(node: &Node, mut batch: Vec<Waiting>) {
    let Some(last_reply) = batch.iter().map(|it| it.last_reply).max_by_key(|reading| reading.read) else { return };
    // As of the first attempt: a node that gets no reply does not prolong its leases by retries.
    let (clock, first_sent) = (last_reply.known(), Instant::now());
    // The same for all of them, so that they stay together.
    let heartbeat = node.timing.heartbeat.mul_f64(1.0 - rand::random_range(0.0..HEARTBEAT_JITTER));
    while !batch.is_empty() {
        let last_sent = Instant::now();
        let renewals = batch.iter().map(|it| (&it.renewal, it.view.seen()));
        let reply = node.commands.renew(&node.scripts.renew(renewals, clock)).await;
        let due = match &reply {
            Ok(reply) if reply.due.len() == batch.len() => reply.due.clone(),
            Err(error) if error.is_unanswered() => {
                sleep(RETRY.mul_f64(rand::random_range(0.5..1.0))).await;
                batch.retain(|it| !it.answer.is_closed());
                continue;
            }
            // Perhaps because of one of them: their reports will tell.
            _ => vec![None; batch.len()],
        };
        let stepped = reply.as_ref().is_ok_and(|reply| last_reply.stepped(reply.now, last_sent));
        if stepped {
            node.clock_stepped();
        }
        let clock = reply.map_or(last_reply, |reply| ClockReading::now(reply.now));
        for (it, due) in batch.into_iter().zip(due) {
            let (next_heartbeat, upkeep) = (first_sent + heartbeat, it.renewal.upkeep);
            // Fails if it waits no longer.
            let _left = it.answer.send(Answer { clock, stepped, first_sent, last_sent, next_heartbeat, upkeep, due });
        }
        return;
    }
}
