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
use super::scripts::{KnownClock, MAX_RECORDS, Phase, Report, Upkeep};
use crate::local_viewers::{Changes, Joins, LocalViewers};
use crate::metrics::Resync;

/// The time between two attempts of the same call.
const RETRY: Duration = Duration::from_millis(100);

/// The time between two attempts to report joins that a full Redis has refused. Leaves and heartbeats go on meanwhile.
const RETRY_JOINS: Duration = Duration::from_millis(500);

/// By how much Redis's clock must differ from what this node's monotonic clock says, before it is taken for a step: no clock is
/// slewed so far between two replies.
const CLOCK_STEP: Duration = Duration::from_millis(500);

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
    /// When the latest attempt of that call was sent.
    last_sent: Instant,
    /// When a full Redis last refused joins.
    joins_refused: Option<Instant>,
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

/// Why a report was not answered.
enum Unsent {
    /// The reporter stopped.
    GivenUp,
    /// Redis is full, and has applied nothing.
    Full,
}

/// What to do with a report that a full Redis refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    Retry,
    /// Return, if it is certain that nothing is applied.
    Return,
}

impl From<GivenUp> for Unsent {
    fn from(_: GivenUp) -> Unsent {
        Unsent::GivenUp
    }
}

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
            last_sent: Instant::now(),
            joins_refused: None,
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
            self.sending_first();
            let call = self.node.scripts.read(&self.keys, self.view.seen(), self.node.commands.clock());
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
        loop {
            // Kept until the new one is complete: if this ends before, the lease is ended with it.
            let old = self.session.as_ref().map(|session| session.id.clone()).unwrap_or_default();
            let reply = self.hello().await?;
            self.reply_received(&reply, Counted::NotYet);
            let viewers = self.local_viewers.take_all();
            let mut session = Session { id: reply.session, seq: 0, registered: 0 };
            let mut chunks = viewers.chunks(MAX_RECORDS).peekable();
            let cause = loop {
                let joins = chunks.next().unwrap_or_default();
                let phase = if chunks.peek().is_some() { Phase::Same } else { Phase::Live { old: &old } };
                let changes = Changes { joins: joins.to_vec(), leaves: Vec::new() };
                let sent = self.send(&mut session, phase, &changes, Upkeep::None, WhenFull::Retry).await;
                let Ok(reply) = sent else {
                    self.end_sessions_of(session).await;
                    return Err(GivenUp);
                };
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
        let withheld = self.joins_refused.is_some_and(|at| at.elapsed() < RETRY_JOINS);
        let joins = if withheld { Joins::Withhold } else { Joins::Take };
        let changes = self.local_viewers.take_changes(MAX_RECORDS, joins);
        let upkeep = if changes.is_empty() { self.schedule.upkeep() } else { Upkeep::None };
        let sent = self.send(&mut session, Phase::Same, &changes, upkeep, WhenFull::Return).await;
        let id = session.id.clone();
        self.session = Some(session);
        let reply = match sent {
            Ok(reply) => reply,
            Err(Unsent::GivenUp) => return Err(GivenUp),
            Err(Unsent::Full) => {
                self.local_viewers.put_back(changes);
                self.joins_refused = Some(Instant::now());
                return Ok(More::Yes); // the leaves, or a heartbeat
            }
        };
        if withheld {
            self.schedule.call_within(RETRY_JOINS);
        } else {
            self.joins_refused = None;
        }
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

    /// Ends the lease.
    async fn end_session(&mut self) -> Result<More, GivenUp> {
        let Some(session) = self.session.take() else { return Ok(More::No) };
        self.node.metrics.leases.dec();
        self.end(session).await
    }

    /// Ends a session that was not complete, and the one that it was to replace.
    async fn end_sessions_of(&mut self, incomplete: Session) {
        // If this fails, the lease runs out by itself; the other session is ended by `run`.
        let _given_up = self.end(incomplete).await;
    }

    /// Ends a session in Redis, and all of its registrations with it.
    async fn end(&mut self, mut session: Session) -> Result<More, GivenUp> {
        // With the leaves, so that nothing is left to remove. Joins would end at once.
        let leaves = self.local_viewers.take_changes(MAX_RECORDS, Joins::Withhold);
        let sent = self.send(&mut session, Phase::Ended, &leaves, Upkeep::None, WhenFull::Retry).await;
        let reply = sent.map_err(|_| GivenUp)?;
        self.reply_received(&reply, Counted::All);
        if let Some(held) = reply.held {
            // No other node knows that this change is not published yet.
            sleep(held).await;
            self.sending_first();
            let call = self.node.scripts.read(&self.keys, self.view.seen(), self.node.commands.clock());
            let reply = self.node.commands.call(&call).await.map_err(|_| GivenUp)?;
            self.reply_received(&reply, Counted::All);
        }
        Ok(More::No)
    }

    /// Begins a session.
    async fn hello(&mut self) -> Result<Reply, GivenUp> {
        loop {
            self.sending_first();
            let call = self.node.scripts.hello(&self.keys, self.view.seen(), &self.node.id, self.node.commands.clock());
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
        when_full: WhenFull,
    ) -> Result<Reply, Unsent> {
        let Changes { joins, leaves } = changes;
        let has_content = !changes.is_empty() || phase != Phase::Same;
        let seq = session.seq + u64::from(has_content);
        let expected = (session.registered + joins.len()).saturating_sub(leaves.len());
        let is_last = phase == Phase::Ended;
        // An attempt without an answer may have been applied, and one behind it must then not differ.
        let mut may_be_applied = false;
        self.sending_first();
        let last_reply =
            self.last_reply.map_or_else(KnownClock::default, |(clock, at)| KnownClock { at: clock, age: at.elapsed() });
        loop {
            let report = Report { session: &session.id, seq, last_reply, expected, phase, joins, leaves, upkeep };
            let call = self.node.scripts.report(&self.keys, self.view.seen(), &report);
            self.last_sent = Instant::now();
            match self.node.commands.call(&call).await {
                Ok(reply) => {
                    (session.seq, session.registered) = (seq, expected);
                    return Ok(reply);
                }
                Err(error) if error.is_full() && when_full == WhenFull::Return && !may_be_applied => {
                    return Err(Unsent::Full);
                }
                Err(_) if is_last && self.first_sent.elapsed() > self.node.timing.lease => return Err(Unsent::GivenUp),
                Err(_) if is_last => sleep(RETRY).await,
                Err(error) => {
                    may_be_applied |= !error.is_refused();
                    self.pause().await?;
                }
            }
        }
    }

    /// Notes that a call is sent for the first time.
    fn sending_first(&mut self) {
        self.first_sent = Instant::now();
        self.last_sent = self.first_sent;
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
        let stepped = self.clock_stepped(reply.now);
        self.last_reply = Some((reply.now, Instant::now()));
        let before = std::mem::replace(&mut self.epoch, reply.state.epoch);
        if before > 0 && before < reply.state.epoch {
            self.node.data_losses.send_modify(|times| *times += 1);
        }
        let report_sent = matches!(counted, Counted::All).then_some(self.first_sent);
        self.view.reply_received(reply.state, self.last_sent, report_sent);
        if reply.held.is_some() {
            self.node.metrics.held_back.inc();
        }
        let others = reply.nodes.saturating_sub(u64::from(self.session.is_some()));
        self.schedule.plan(reply, others, self.first_sent, &self.node.timing);
        if stepped {
            // The lease was renewed by what the clock said before.
            self.schedule.call_now();
        }
        if let Some(session) = &reply.reap {
            let node = Arc::clone(&self.node);
            self.node.spawn(reaper::run(node, Arc::clone(&self.view), self.keys.clone(), session.clone()));
        }
    }
}

impl Reporter {
    /// Whether Redis's clock was stepped since its last reply, by this node's monotonic clock.
    fn clock_stepped(&self, now: u64) -> bool {
        let Some((before, at)) = self.last_reply else { return false };
        let advanced = Duration::from_millis(now.saturating_sub(before));
        let (sent, received) = (self.last_sent.saturating_duration_since(at), at.elapsed());
        let stepped = advanced > received + CLOCK_STEP || advanced + CLOCK_STEP < sent;
        if stepped {
            self.node.metrics.clock_steps.inc();
            let counter = &self.local_viewers.name;
            tracing::warn!(%counter, before, now, elapsed = ?received, "Redis's clock was stepped");
        }
        stepped
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
