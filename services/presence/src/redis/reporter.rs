//! Reports one counter's viewers on this node to Redis, and passes the replies to the counter's view.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::counter_view::CounterView;
use super::keys::CounterKeys;
use super::node::Node;
use super::reaper;
use super::reply::{Reply, Status};
use super::report_schedule::ReportSchedule;
use super::scripts::{MAX_RECORDS, Phase, Report, Upkeep};
use crate::local_viewers::{Changes, LocalViewers};
use crate::metrics::Resync;

/// The time between two attempts of the same call.
const RETRY: Duration = Duration::from_millis(100);

/// One counter's reporter: a task that runs while the counter is live on this node.
pub(super) struct Reporter {
    node: Arc<Node>,
    local_viewers: Arc<LocalViewers>,
    view: Arc<CounterView>,
    keys: CounterKeys,
    session: Option<Session>,
    /// Redis's clock in its last reply (milliseconds), and when that reply came.
    last_reply: Option<(u64, Instant)>,
    /// The epoch of that reply; 0 before the first.
    epoch: u64,
    /// When the latest call was first sent: the lease is renewed from then, however often the call is repeated.
    first_sent: Instant,
    schedule: ReportSchedule,
}

/// A session of this node at the counter.
struct Session {
    id: String,
    /// Number of the last report that was answered.
    seq: u64,
    /// Viewers that are registered with it.
    registered: usize,
}

/// Whether the reporter has more to send at once.
enum More {
    No,
    /// There are more changes than fit into one report, or viewers to register.
    Yes,
}

/// Whether this node's viewers were counted when Redis replied.
#[derive(Clone, Copy)]
enum Counted {
    /// All of them, or there were none.
    All,
    /// They must be registered first.
    NotYet,
}

/// The reporter stopped before the call was answered.
struct GivenUp;

impl Reporter {
    pub(super) fn new(node: Arc<Node>, local_viewers: Arc<LocalViewers>) -> Reporter {
        Reporter {
            keys: node.prefix.counter(&local_viewers.name),
            view: CounterView::new(Arc::clone(&local_viewers), node.timing, node.metrics.clone()),
            node,
            local_viewers,
            session: None,
            last_reply: None,
            epoch: 0,
            first_sent: Instant::now(),
            schedule: ReportSchedule::new(),
        }
    }

    /// Runs until the counter is closed or the node ends its leases.
    pub(super) async fn run(mut self) {
        self.node.subscription.add(&self.keys.channel, &self.view);
        while !self.is_over() {
            let called = match &self.session {
                None if self.local_viewers.count() > 0 => self.register().await,
                None => self.read().await,
                Some(session) if session.registered == 0 && self.is_quiet() => self.end_session().await,
                Some(_) => self.report().await,
            };
            match called {
                Err(GivenUp) => break,
                Ok(More::Yes) => {}
                Ok(More::No) => self.wait().await,
            }
        }
        self.node.subscription.remove(&self.keys.channel, &self.view);
        if self.session.is_some() {
            // If this fails, the lease runs out by itself.
            let _given_up = self.end_session().await;
        }
    }

    fn is_over(&self) -> bool {
        self.local_viewers.is_closed() || self.node.releasing.is_cancelled()
    }

    /// Whether nothing has changed since the last heartbeat: an empty session is then ended.
    fn is_quiet(&self) -> bool {
        self.schedule.heartbeat_is_due() && self.local_viewers.count() == 0
    }

    /// Waits until there is something to report or to ask, and the last call is long enough ago.
    async fn wait(&mut self) {
        loop {
            tokio::select! {
                () = self.local_viewers.changed.notified() => break,
                () = self.view.call_wanted.notified() => break,
                () = self.node.releasing.cancelled() => return,
                () = sleep_until(self.schedule.next()) => {}
            }
            if self.schedule.is_due(&self.view) {
                break;
            }
        }
        sleep_until(self.schedule.earliest(&self.node.timing)).await;
    }

    /// Reads the state without a session.
    async fn read(&mut self) -> Result<More, GivenUp> {
        let reply = loop {
            self.first_sent = Instant::now();
            let call = self.node.scripts.read(&self.keys, self.view.seen());
            match self.node.commands.call(&call).await {
                Ok(reply) => break reply,
                Err(_) => self.pause().await?,
            }
            if self.local_viewers.count() > 0 {
                return Ok(More::Yes); // registers them as soon as Redis is back
            }
        };
        self.reply_received(&reply, Counted::All);
        Ok(More::No)
    }

    /// Registers all viewers in a new session, which replaces the former one when it is complete.
    async fn register(&mut self) -> Result<More, GivenUp> {
        let old = self.session.take().map(|session| session.id).unwrap_or_default();
        loop {
            let reply = self.hello().await?;
            self.reply_received(&reply, Counted::NotYet);
            let viewers = self.local_viewers.take_all();
            let mut session = Session { id: reply.session, seq: 0, registered: 0 };
            let mut chunks = viewers.chunks(MAX_RECORDS).peekable();
            let cause = loop {
                let joins = chunks.next().unwrap_or_default();
                let phase = if chunks.peek().is_some() { Phase::Same } else { Phase::Live { old: &old } };
                let changes = Changes { joins: joins.to_vec(), leaves: Vec::new() };
                let reply = self.send(&mut session, phase, &changes, Upkeep::None).await?;
                let is_complete = matches!(phase, Phase::Live { .. }) && reply.status == Status::Ok;
                self.reply_received(&reply, if is_complete { Counted::All } else { Counted::NotYet });
                match resync_cause(reply.status) {
                    Some(cause) => break Some(cause),
                    None if phase == Phase::Same => {}
                    None => break None,
                }
            };
            match cause {
                Some(cause) => self.node.metrics.resynced(cause),
                None => {
                    if old.is_empty() {
                        self.node.metrics.leases.inc();
                    }
                    self.session = Some(session);
                    return Ok(More::No);
                }
            }
            self.pause().await?;
        }
    }

    /// Reports changes, or only renews the lease. Registers all viewers again if Redis disagrees.
    async fn report(&mut self) -> Result<More, GivenUp> {
        let Some(mut session) = self.session.take() else { return Ok(More::No) };
        let changes = self.local_viewers.take_changes(MAX_RECORDS);
        let upkeep = if changes.is_empty() { self.schedule.upkeep(&self.node.timing) } else { Upkeep::None };
        let sent = self.send(&mut session, Phase::Same, &changes, upkeep).await;
        let id = session.id.clone();
        self.session = Some(session);
        let reply = sent?;
        let cause = resync_cause(reply.status);
        if cause == Some(Resync::Unknown) {
            self.view.lease_lost();
        }
        self.reply_received(&reply, if cause.is_none() { Counted::All } else { Counted::NotYet });
        let Some(cause) = cause else {
            return Ok(if changes.len() >= MAX_RECORDS { More::Yes } else { More::No });
        };
        tracing::info!(counter = %self.local_viewers.name, session = id, ?cause, "registering all viewers again");
        self.node.metrics.resynced(cause);
        self.register().await
    }

    /// Ends the lease, with the last leaves.
    async fn end_session(&mut self) -> Result<More, GivenUp> {
        let Some(mut session) = self.session.take() else { return Ok(More::No) };
        self.node.metrics.leases.dec();
        let changes = self.local_viewers.take_changes(MAX_RECORDS);
        let reply = self.send(&mut session, Phase::Ended, &changes, Upkeep::None).await?;
        self.reply_received(&reply, Counted::All);
        if let Some(held) = reply.held {
            // No other node knows that this change is not published yet.
            sleep(held).await;
            self.first_sent = Instant::now();
            let call = self.node.scripts.read(&self.keys, self.view.seen());
            let reply = self.node.commands.call(&call).await.map_err(|_| GivenUp)?;
            self.reply_received(&reply, Counted::All);
        }
        Ok(More::No)
    }

    /// Begins a session.
    async fn hello(&mut self) -> Result<Reply, GivenUp> {
        loop {
            self.first_sent = Instant::now();
            let call = self.node.scripts.hello(&self.keys, self.view.seen(), &self.node.id);
            // If only the reply was lost, the retry leaves an empty session behind, which ends with its lease.
            match self.node.commands.call(&call).await {
                Ok(reply) => return Ok(reply),
                Err(_) => self.pause().await?,
            }
        }
    }

    /// Sends a report, under the same number until it is answered. The lease is renewed from the first attempt: a node
    /// that gets no reply does not prolong it by retries.
    async fn send(
        &mut self,
        session: &mut Session,
        phase: Phase<'_>,
        changes: &Changes,
        upkeep: Upkeep,
    ) -> Result<Reply, GivenUp> {
        let Changes { joins, leaves } = changes;
        let has_content = !changes.is_empty() || phase != Phase::Same;
        let seq = session.seq + u64::from(has_content);
        let expected = (session.registered + joins.len()).saturating_sub(leaves.len());
        let is_last = phase == Phase::Ended;
        self.first_sent = Instant::now();
        let last_reply = self.last_reply.map_or((0, Duration::ZERO), |(clock, at)| (clock, at.elapsed()));
        loop {
            let report = Report { session: &session.id, seq, last_reply, expected, phase, joins, leaves, upkeep };
            let call = self.node.scripts.report(&self.keys, self.view.seen(), &report);
            match self.node.commands.call(&call).await {
                Ok(reply) => {
                    (session.seq, session.registered) = (seq, expected);
                    return Ok(reply);
                }
                Err(_) if is_last && self.first_sent.elapsed() > self.node.timing.lease => return Err(GivenUp),
                Err(_) if is_last => sleep(RETRY).await,
                Err(_) => self.pause().await?,
            }
        }
    }

    /// Waits before another attempt. Fails if the reporter is over.
    async fn pause(&self) -> Result<(), GivenUp> {
        let pause = RETRY.mul_f64(rand::random_range(0.5..1.0));
        let _over = self.node.releasing.run_until_cancelled(sleep(pause)).await;
        if self.is_over() { Err(GivenUp) } else { Ok(()) }
    }

    /// Applies a reply and plans the next call. The view may show the lower number of a reply only if it counts this
    /// node's viewers, or there are none.
    fn reply_received(&mut self, reply: &Reply, counted: Counted) {
        self.last_reply = Some((reply.now, Instant::now()));
        let before = std::mem::replace(&mut self.epoch, reply.state.epoch);
        if before > 0 && before < reply.state.epoch {
            self.node.data_losses.send_modify(|times| *times += 1);
        }
        self.view.reply_received(reply.state, matches!(counted, Counted::All).then_some(self.first_sent));
        if reply.held.is_some() {
            self.node.metrics.held_back.inc();
        }
        let others = reply.nodes.saturating_sub(u64::from(self.session.is_some()));
        self.schedule.plan(reply, others, self.first_sent, &self.node.timing);
        if let Some(session) = &reply.reap {
            let node = Arc::clone(&self.node);
            self.node.spawn(reaper::run(node, Arc::clone(&self.view), self.keys.clone(), session.clone()));
        }
    }
}

/// Why all viewers must be registered again, or `None`.
fn resync_cause(status: Status) -> Option<Resync> {
    match status {
        Status::Ok => None,
        Status::Unknown => Some(Resync::Unknown),
        Status::Gap => Some(Resync::Gap),
        Status::Differs => Some(Resync::Differs),
    }
}
