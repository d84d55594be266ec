//! Reports one counter's viewers on this node to Redis, and passes the replies to the counter's view.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until};

use super::call_error::CallError;
use super::clock::ClockReading;
use super::counter_state::CounterState;
use super::counter_view::CounterView;
use super::keys::CounterKeys;
use super::node::Node;
use super::reaper;
use super::renewals::Answer;
use super::reply::{Reply, Status};
use super::report_schedule::ReportSchedule;
use super::scripts::{KnownClock, MAX_RECORDS, Renewal, Upkeep};
use super::sessions::{Chunk, Incoming, Role, Sessions};
use crate::local_viewers::{Joins, LocalViewers};
use crate::metrics::Resync;

/// The time between two attempts of the same call.
const RETRY: Duration = Duration::from_millis(100);

/// The time between two attempts of what a full Redis has refused: joins, or a session. Leaves and heartbeats go on
/// meanwhile.
const RETRY_JOINS: Duration = Duration::from_millis(500);

/// The time before a node registers again whose lease has ended: if it was frozen, it learns meanwhile of the viewers who left.
const NOTICE_LEAVES: Duration = Duration::from_millis(100);

/// One counter's reporter: a task that runs while the counter is live on this node.
pub(super) struct Reporter {
    node: Arc<Node>,
    local_viewers: Arc<LocalViewers>,
    view: Arc<CounterView>,
    keys: Arc<CounterKeys>,
    /// What Redis may know of this node's viewers. Up to date whenever this task waits, because a new process may take
    /// over then.
    sessions: Sessions,
    /// Redis's clock in its last reply.
    last_reply: Option<ClockReading>,
    /// The epoch of that reply, 0 before the first, and its count.
    epoch: u64,
    count: u64,
    /// When the latest call was first sent: the lease is renewed from then, however often the call is repeated.
    first_sent: Instant,
    /// When the latest attempt of that call was sent.
    last_sent: Instant,
    /// When a full Redis last refused joins.
    joins_refused: Option<Instant>,
    schedule: ReportSchedule,
    /// Held while it calls Redis, so that what belongs together is done without waiting in between: after a loss, a session that
    /// has begun is soon complete.
    turn: Option<OwnedSemaphorePermit>,
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

/// Whether a lease was renewed without a report.
#[derive(PartialEq, Eq)]
enum Renewed {
    Yes,
    /// A report is needed.
    No,
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
    /// Return, as soon as it is certain that nothing is applied.
    Return,
}

impl From<GivenUp> for Unsent {
    fn from(_: GivenUp) -> Unsent {
        Unsent::GivenUp
    }
}

impl Reporter {
    /// The reporter of a counter that is live on this node. Goes on with the state that a former process has left.
    pub(super) fn new(node: Arc<Node>, local_viewers: Arc<LocalViewers>, former: Option<CounterState>) -> Reporter {
        let CounterState { local, view, sessions, last_reply, epoch } = former.unwrap_or_default();
        if let Some(local) = local {
            local_viewers.resume(local);
        }
        if sessions.current.is_some() {
            node.metrics.leases.inc();
        }
        Reporter {
            keys: Arc::new(node.counter_keys(&local_viewers.name)),
            view: CounterView::new(Arc::clone(&local_viewers), node.timing, node.metrics.clone(), view),
            node,
            local_viewers,
            sessions,
            last_reply,
            epoch,
            count: 0,
            first_sent: Instant::now(),
            last_sent: Instant::now(),
            joins_refused: None,
            schedule: ReportSchedule::new(),
            turn: None,
        }
    }

    /// Runs until the counter is closed or the node ends its leases. When the node is paused, leaves the counter's state
    /// for a new process.
    pub(super) async fn run(mut self) {
        let (node, view) = (Arc::clone(&self.node), Arc::clone(&self.view));
        let serving = async {
            tokio::select! {
                () = self.serve() => {}
                () = view.keep_time(|| node.subscription.is_dead()) => {}
            }
        };
        if node.pausing.run_until_cancelled(serving).await.is_none() {
            let (name, is_closed) = (self.local_viewers.name.to_string(), self.local_viewers.is_closed());
            let state = self.into_state();
            let mut counters = node.counters.lock();
            if is_closed { counters.put_closed(name, state) } else { counters.put_live(name, state) }
        }
    }

    /// What a new process needs to go on with the counter.
    fn into_state(self) -> CounterState {
        CounterState {
            // First, so that no later reading is shown.
            view: self.view.pause(),
            local: Some(self.local_viewers.state()),
            sessions: self.sessions.handed_over(),
            last_reply: self.last_reply,
            epoch: self.epoch,
        }
    }

    async fn serve(&mut self) {
        if self.epoch == 0 {
            let checked = self.node.releasing.run_until_cancelled(self.node.data_identity.check()).await;
            if let Some(until) = checked.flatten() {
                self.view.others_missing(until);
            }
        }
        self.node.subscription.add(&self.keys.channel, &self.view);
        // No report holds a part of a former process's viewers.
        let _released = self.node.releasing.run_until_cancelled(self.node.restored.cancelled()).await;
        self.sessions.expect(self.local_viewers.sent());
        while !self.is_over() {
            // Boxed: most of the time there is no call, and there may be many counters.
            self.turn = self.node.turn().await;
            let called = Box::pin(self.call()).await;
            self.turn = None;
            match called {
                // The reporter is over, or the lease of a session that was to end has run out.
                Err(GivenUp) | Ok(More::Yes) => {}
                Ok(More::No) => self.wait().await,
            }
        }
        self.node.subscription.remove(&self.keys.channel, &self.view);
        if self.sessions.current.is_some() {
            self.node.metrics.leases.dec();
        }
        while self.sessions.end_next().is_some() {
            // If this fails, the lease runs out by itself.
            self.turn = self.node.turn().await;
            let _given_up = Box::pin(self.end_session()).await;
        }
    }

    /// Reports, registers, reads, or ends a session: whatever comes next.
    async fn call(&mut self) -> Result<More, GivenUp> {
        match &self.sessions {
            Sessions { ending: Some(_), .. } => self.end_session().await,
            Sessions { incoming: Some(_), .. } => self.register().await,
            Sessions { current: None, .. } if self.local_viewers.count() > 0 => self.register().await,
            Sessions { current: None, .. } => self.read().await,
            Sessions { current: Some(session), .. } if session.registered == 0 && self.is_quiet() => {
                self.node.metrics.leases.dec();
                let session = self.sessions.current.take();
                self.sessions.end(session);
                self.end_session().await
            }
            Sessions { current: Some(_), .. } => self.report().await,
        }
    }

    fn is_over(&self) -> bool {
        self.local_viewers.is_closed() || self.node.releasing.is_cancelled()
    }

    /// Whether nothing has changed since the last heartbeat: an empty session is then ended.
    fn is_quiet(&self) -> bool {
        self.schedule.heartbeat_is_due() && self.local_viewers.count() == 0
    }

    /// Waits until there is something to report or to ask, and the last call is long enough ago. Renews the lease
    /// meanwhile, as long as that is all there is to do.
    async fn wait(&mut self) {
        loop {
            let renewal = self.renewal();
            let is_quiet = renewal.is_some();
            let at = self.schedule.next();
            let renewed = async {
                match renewal {
                    Some((renewal, last_reply)) => {
                        self.node.renewals.renew(at, renewal, Arc::clone(&self.view), last_reply).await
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.local_viewers.changed.notified() => break,
                () = self.view.call_wanted.notified() => {
                    if !is_quiet {
                        break;
                    }
                    self.schedule.call_now();
                }
                () = self.node.releasing.cancelled() => return,
                answer = renewed => {
                    if self.renewed(&answer) == Renewed::No {
                        return;
                    }
                }
                () = sleep_until(at), if !is_quiet => {
                    if self.schedule.is_due(&self.view) {
                        break;
                    }
                }
            }
        }
        sleep_until(self.schedule.earliest(&self.node.timing)).await;
    }

    /// The renewal of the lease, and the clock that it is renewed from, if that is all there is to do: this node's viewers are
    /// registered, and the newest state is shown.
    fn renewal(&self) -> Option<(Renewal, ClockReading)> {
        let (session, seq, registered) = self.sessions.quiet()?;
        let is_quiet = registered > 0
            && registered == self.local_viewers.count()
            && self.schedule.is_quiet()
            && self.view.is_settled();
        let (keys, session, upkeep) = (Arc::clone(&self.keys), session.to_owned(), self.schedule.upkeep());
        let last_reply = self.last_reply.filter(|_| is_quiet)?;
        let nodes = self.schedule.nodes();
        Some((Renewal { keys, session, seq, registered, nodes, upkeep }, last_reply))
    }

    /// Applies the answer to a renewal and plans the next call.
    fn renewed(&mut self, answer: &Answer) -> Renewed {
        let Some(due) = answer.due else {
            // Something is not as this node knows it: the report looks at everything.
            self.schedule.audit_next();
            return Renewed::No;
        };
        self.last_reply = Some(answer.clock);
        (self.first_sent, self.last_sent) = (answer.first_sent, answer.last_sent);
        self.view.lease_renewed(answer.first_sent);
        self.schedule.kept_up(answer.upkeep, &self.node.timing);
        self.schedule.plan_renewal(answer.next_heartbeat, due, &self.node.timing);
        self.plan_earlier(answer.stepped);
        Renewed::Yes
    }

    /// Plans an earlier call where replies are all that tells of changes, or the lease was renewed by what the clock said
    /// before a step.
    fn plan_earlier(&mut self, stepped: bool) {
        if !self.view.is_subscribed() {
            self.schedule.call_within(self.node.subscription.poll_interval());
        }
        if stepped {
            self.schedule.call_now();
        }
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
        // Viewers may have come meanwhile: the reply is without them.
        let counted = if self.local_viewers.count() > 0 { Counted::NotYet } else { Counted::All };
        self.reply_received(&reply, counted);
        Ok(More::No)
    }

    /// Registers all viewers in a new session, which replaces the former one when it is complete.
    async fn register(&mut self) -> Result<More, GivenUp> {
        loop {
            if self.sessions.incoming.is_none() {
                let reply = self.hello().await?;
                self.reply_received(&reply, Counted::NotYet);
                self.sessions.incoming = Some(Incoming::new(reply.session, self.local_viewers.take_all()));
            }
            let Some(cause) = self.register_rest().await? else { return Ok(More::No) };
            self.node.metrics.resynced(cause);
            self.pause().await?;
        }
    }

    /// Registers what is left of the incoming session's viewers. Returns why all must be registered again, or `None` if
    /// the session is complete.
    async fn register_rest(&mut self) -> Result<Option<Resync>, GivenUp> {
        while let Some(incoming) = &mut self.sessions.incoming {
            let chunk = incoming.begin_chunk();
            let reply = self.send(Role::Incoming, WhenFull::Retry).await.map_err(|_| GivenUp)?;
            let cause = resync_cause(reply.status);
            let is_complete = chunk == Chunk::Last && cause.is_none();
            self.reply_received(&reply, if is_complete { Counted::All } else { Counted::NotYet });
            match (chunk, cause) {
                // Also where it differs: it counts, so the next one must replace it.
                (Chunk::Last, None | Some(Resync::Differs)) => {
                    if self.sessions.complete().is_none() {
                        self.node.metrics.leases.inc();
                    }
                    return Ok(cause);
                }
                (Chunk::Other, None) => {}
                (_, Some(cause)) => {
                    self.sessions.incoming = None;
                    return Ok(Some(cause));
                }
            }
        }
        Ok(None)
    }

    /// Reports changes, or only renews the lease. Registers all viewers again if Redis disagrees.
    async fn report(&mut self) -> Result<More, GivenUp> {
        let Some(session) = &mut self.sessions.current else { return Ok(More::No) };
        let withheld = self.joins_refused.is_some_and(|at| at.elapsed() < RETRY_JOINS);
        session.begin(|| {
            let joins = if withheld { Joins::Withhold } else { Joins::Take };
            let changes = self.local_viewers.take_changes(MAX_RECORDS, joins);
            let upkeep = if changes.is_empty() { self.schedule.upkeep() } else { Upkeep::None };
            if changes.is_empty() {
                self.schedule.kept_up(upkeep, &self.node.timing);
            }
            (changes, upkeep)
        });
        let id = session.id.clone();
        let changes = session.unanswered.as_ref().map_or(0, |unanswered| unanswered.changes.len());
        let reply = match self.send(Role::Current, WhenFull::Return).await {
            Ok(reply) => reply,
            Err(Unsent::GivenUp) => return Err(GivenUp),
            Err(Unsent::Full) => {
                let refused = self.sessions.current.as_mut().and_then(|session| session.unanswered.take());
                self.local_viewers.put_back(refused.map(|report| report.changes).unwrap_or_default());
                self.joins_refused = Some(Instant::now());
                return Ok(More::Yes); // the leaves, or a heartbeat
            }
        };
        let cause = resync_cause(reply.status);
        if cause == Some(Resync::Unknown) {
            self.view.lease_lost();
        }
        self.reply_received(&reply, if cause.is_none() { Counted::All } else { Counted::NotYet });
        if withheld {
            self.schedule.call_within(RETRY_JOINS);
        } else {
            self.joins_refused = None;
        }
        let Some(cause) = cause else {
            return Ok(if changes >= MAX_RECORDS { More::Yes } else { More::No });
        };
        tracing::debug!(counter = %self.local_viewers.name, session = id, ?cause, "registering all viewers again");
        self.node.metrics.resynced(cause);
        if cause == Resync::Unknown && self.view.lease_may_have_ended() {
            self.rest(NOTICE_LEAVES).await;
        }
        self.register().await
    }

    /// Ends the ending session in Redis, and all of its registrations with it.
    async fn end_session(&mut self) -> Result<More, GivenUp> {
        if let Some(session) = &mut self.sessions.ending {
            // With the leaves, so that nothing is left to remove. Joins would end at once.
            session.begin(|| (self.local_viewers.take_changes(MAX_RECORDS, Joins::Withhold), Upkeep::None));
        }
        let ended = self.send_end().await;
        self.sessions.ending = None;
        ended.map(|()| More::No)
    }

    async fn send_end(&mut self) -> Result<(), GivenUp> {
        let reply = self.send(Role::Ending, WhenFull::Retry).await.map_err(|_| GivenUp)?;
        self.reply_received(&reply, Counted::All);
        if let Some(held) = reply.held {
            // No other node knows that this change is not published yet.
            self.rest(held).await;
            self.sending_first();
            let call = self.node.scripts.read(&self.keys, self.view.seen(), self.node.commands.clock());
            let reply = self.node.commands.call(&call).await.map_err(|_| GivenUp)?;
            self.reply_received(&reply, Counted::All);
        }
        Ok(())
    }

    /// Begins a session.
    async fn hello(&mut self) -> Result<Reply, GivenUp> {
        loop {
            self.sending_first();
            let call = self.node.scripts.hello(&self.keys, self.view.seen(), &self.node.id, self.node.commands.clock());
            // If only the reply was lost, the retry leaves an empty session behind, which ends with its lease.
            match self.node.commands.call(&call).await {
                Ok(reply) => return Ok(reply),
                Err(error) => self.pause_after(&error).await?,
            }
        }
    }

    /// Sends the report of a session that has no answer, under the same number until it has one. The lease is renewed from
    /// the first attempt: a node that gets no reply does not prolong it by retries.
    async fn send(&mut self, role: Role, when_full: WhenFull) -> Result<Reply, Unsent> {
        self.sending_first();
        let last_reply = self.last_reply.map_or_else(KnownClock::default, |reading| reading.known());
        // Redis is full now, and refuses to say: an empty report of the same number tells whether it was applied.
        let mut asks = false;
        loop {
            let Some(mut report) = self.sessions.report(role, last_reply) else { return Err(Unsent::GivenUp) };
            if asks {
                (report.joins, report.leaves) = Default::default();
            }
            let call = self.node.scripts.report(&self.keys, self.view.seen(), &report);
            self.last_sent = Instant::now();
            let error = match self.node.commands.call(&call).await {
                Ok(reply) if asks && reply.status == Status::Gap => return Err(Unsent::Full),
                Ok(reply) => {
                    self.sessions.answered(role);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            if role == Role::Ending {
                if self.first_sent.elapsed() > self.node.timing.lease {
                    return Err(Unsent::GivenUp);
                }
                self.rest(RETRY).await;
                continue;
            }
            if let Some(unanswered) = self.sessions.unanswered(role) {
                if error.is_full() && when_full == WhenFull::Return {
                    if !unanswered.may_be_applied {
                        return Err(Unsent::Full);
                    }
                    asks = true;
                    continue;
                }
                // An attempt without an answer may have been applied, and one behind it must then not differ.
                unanswered.may_be_applied |= error.may_be_applied();
            }
            self.pause_after(&error).await?;
        }
    }

    /// Notes that a call is sent for the first time.
    fn sending_first(&mut self) {
        self.first_sent = Instant::now();
        self.last_sent = self.first_sent;
    }

    /// Waits before another attempt. Fails if the reporter is over.
    async fn pause(&mut self) -> Result<(), GivenUp> {
        self.pause_for(RETRY).await
    }

    /// The same after an error: a Redis that is full is not asked all the time.
    async fn pause_after(&mut self, error: &CallError) -> Result<(), GivenUp> {
        self.pause_for(if error.is_full() { RETRY_JOINS } else { RETRY }).await
    }

    async fn pause_for(&mut self, most: Duration) -> Result<(), GivenUp> {
        let pause = most.mul_f64(rand::random_range(0.5..1.0));
        self.turn = None;
        let _over = self.node.releasing.run_until_cancelled(sleep(pause)).await;
        self.turn = self.node.turn().await;
        if self.is_over() { Err(GivenUp) } else { Ok(()) }
    }

    /// Waits, and lets other counters call Redis meanwhile.
    async fn rest(&mut self, time: Duration) {
        self.turn = None;
        sleep(time).await;
        self.turn = self.node.turn().await;
    }

    /// Applies a reply and plans the next call. The view may show the lower number of a reply only if it counts this
    /// node's viewers, or there are none.
    fn reply_received(&mut self, reply: &Reply, counted: Counted) {
        let stepped = self.clock_stepped(reply.now);
        self.last_reply = Some(ClockReading::now(reply.now));
        let before = std::mem::replace(&mut self.epoch, reply.state.epoch);
        let counted_before = std::mem::replace(&mut self.count, reply.state.count);
        let shown = self.view.seen();
        // A counter without viewers has nothing to lose: its first viewer begins an epoch.
        let had_viewers = counted_before > 0 || (shown.epoch < reply.state.epoch && shown.count > 0);
        if before > 0 && before < reply.state.epoch && had_viewers {
            self.node.data_losses.send_modify(|times| *times += 1);
        }
        let report_sent = matches!(counted, Counted::All).then_some(self.first_sent);
        if let Some(doubt) = reply.doubt(&self.node.timing) {
            self.view.in_doubt(doubt);
        }
        self.view.reply_received(reply.state, self.last_sent, report_sent);
        if reply.held.is_some() {
            self.node.metrics.held_back.inc();
        }
        let others = reply.nodes.saturating_sub(u64::from(self.sessions.current.is_some()));
        self.schedule.plan(reply, others, self.first_sent, &self.node.timing);
        self.plan_earlier(stepped);
        if let Some(session) = &reply.reap {
            let (node, view) = (Arc::clone(&self.node), Arc::clone(&self.view));
            self.node.spawn_until_pause(reaper::run(node, view, self.keys.clone(), session.clone()));
        }
    }
}

impl Reporter {
    /// Whether Redis's clock was stepped since its last reply, by this node's monotonic clock.
    fn clock_stepped(&self, now: u64) -> bool {
        let stepped = self.last_reply.is_some_and(|last_reply| last_reply.stepped(now, self.last_sent));
        if stepped {
            self.node.clock_stepped();
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
