//! Keeps Redis informed of one counter's viewers on this node, and this node of the counter.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::Node;
use super::counter_view::CounterView;
use super::keys::CounterKeys;
use super::reaper;
use super::reply::{Reply, Status};
use super::report_schedule::ReportSchedule;
use super::scripts::{MAX_RECORDS, Phase, Report, Upkeep};
use crate::local_viewers::{Changes, LocalViewers};
use crate::metrics::Resync;

/// The time between two attempts to say the same.
const RETRY: Duration = Duration::from_millis(100);

/// One counter's reporter: a task that lives while the counter is live on this node.
pub(super) struct Reporter {
    node: Arc<Node>,
    local_viewers: Arc<LocalViewers>,
    view: Arc<CounterView>,
    keys: CounterKeys,
    session: Option<Session>,
    /// Redis's clock in its last answer, and when that came.
    heard: Option<(u64, Instant)>,
    /// The epoch of that answer; 0 before the first.
    epoch: u64,
    /// When the last answered call was sent for the first time: what it prolongs, it prolongs from there.
    asked: Instant,
    schedule: ReportSchedule,
}

/// A registration of this node under the counter.
struct Session {
    id: String,
    /// Number of the last report that was answered.
    seq: u64,
    /// Viewers registered with it.
    registered: usize,
}

/// Whether a call left something unreported.
enum More {
    Nothing,
    /// There were more changes than fit into one report.
    Waits,
}

/// Whether this node's viewers were counted when Redis answered.
#[derive(Clone, Copy)]
enum Counted {
    /// All of them, or there were none.
    All,
    /// They are to be registered first.
    NotYet,
}

/// Why waiting for an answer ended without one.
struct GivenUp;

impl Reporter {
    pub(super) fn new(node: Arc<Node>, local_viewers: Arc<LocalViewers>, view: Arc<CounterView>) -> Reporter {
        let keys = node.prefix.counter(&local_viewers.name);
        Reporter {
            node,
            local_viewers,
            view,
            keys,
            session: None,
            heard: None,
            epoch: 0,
            asked: Instant::now(),
            schedule: ReportSchedule::new(),
        }
    }

    /// Runs until the counter is closed or the node ends its leases.
    pub(super) async fn run(mut self) {
        self.node.subscription.add(&self.keys.channel, &self.view);
        while !self.is_over() {
            let acted = match &self.session {
                None if self.local_viewers.present() > 0 => self.register().await,
                None => self.read().await,
                Some(session) if session.registered == 0 && self.is_quiet() => self.end_session().await,
                Some(_) => self.report().await,
            };
            match acted {
                Err(GivenUp) => break,
                Ok(More::Waits) => {}
                Ok(More::Nothing) => self.wait().await,
            }
        }
        self.node.subscription.remove(&self.keys.channel, &self.view);
        if self.session.is_some() {
            // Given up: the lease runs out by itself.
            let _given_up = self.end_session().await;
        }
    }

    fn is_over(&self) -> bool {
        self.local_viewers.is_closed() || self.node.releasing.is_cancelled()
    }

    /// Whether nothing has changed since the last heartbeat: then an empty session is not worth its lease.
    fn is_quiet(&self) -> bool {
        self.schedule.heartbeat_is_due() && self.local_viewers.present() == 0
    }

    /// Until there is something to tell or to ask, and the last call is long enough ago.
    async fn wait(&mut self) {
        loop {
            tokio::select! {
                () = self.local_viewers.changed.notified() => break,
                () = self.view.wake_reporter.notified() => break,
                () = self.node.releasing.cancelled() => return,
                () = sleep_until(self.schedule.next()) => {}
            }
            if self.schedule.is_due(&self.view) {
                break;
            }
        }
        sleep_until(self.schedule.earliest(&self.node.timing)).await;
    }

    /// Asks for the state only.
    async fn read(&mut self) -> Result<More, GivenUp> {
        let reply = loop {
            self.asked = Instant::now();
            let call = self.node.scripts.read(&self.keys, self.view.seen());
            match self.node.commands.call(&call).await {
                Ok(reply) => break reply,
                Err(_) => self.pause().await?,
            }
            if self.local_viewers.present() > 0 {
                return Ok(More::Waits); // to register, as soon as Redis is there
            }
        };
        self.answered(&reply, Counted::All);
        Ok(More::Nothing)
    }

    /// Registers all viewers in a new session, which replaces the former one when it is complete.
    async fn register(&mut self) -> Result<More, GivenUp> {
        let old = self.session.take().map(|session| session.id).unwrap_or_default();
        loop {
            let reply = self.hello().await?;
            self.answered(&reply, Counted::NotYet);
            let viewers = self.local_viewers.take_all();
            let mut session = Session { id: reply.session, seq: 0, registered: 0 };
            let mut chunks = viewers.chunks(MAX_RECORDS).peekable();
            let cause = loop {
                let joins = chunks.next().unwrap_or_default();
                let phase = if chunks.peek().is_some() { Phase::Same } else { Phase::Live { old: &old } };
                let reply = self.insist(&mut session, phase, joins, &[], Upkeep::None).await?;
                let is_whole = matches!(phase, Phase::Live { .. }) && reply.status == Status::Ok;
                self.answered(&reply, if is_whole { Counted::All } else { Counted::NotYet });
                match resync(reply.status) {
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
                    return Ok(More::Nothing);
                }
            }
            self.pause().await?;
        }
    }

    /// Reports what has changed, or that nothing has.
    async fn report(&mut self) -> Result<More, GivenUp> {
        let Some(mut session) = self.session.take() else { return Ok(More::Nothing) };
        let Changes { joins, leaves } = self.local_viewers.take_changes(MAX_RECORDS);
        let upkeep =
            if joins.is_empty() && leaves.is_empty() { self.schedule.upkeep(&self.node.timing) } else { Upkeep::None };
        let answer = self.insist(&mut session, Phase::Same, &joins, &leaves, upkeep).await;
        let id = session.id.clone();
        self.session = Some(session);
        let reply = answer?;
        let cause = resync(reply.status);
        if cause == Some(Resync::Unknown) {
            self.view.lapsed();
        }
        self.answered(&reply, if cause.is_none() { Counted::All } else { Counted::NotYet });
        let Some(cause) = cause else {
            let was_full = joins.len() + leaves.len() >= MAX_RECORDS;
            return Ok(if was_full { More::Waits } else { More::Nothing });
        };
        tracing::info!(counter = %self.local_viewers.name, session = id, ?cause, "registering all viewers afresh");
        self.node.metrics.resynced(cause);
        self.register().await
    }

    /// Gives the lease back, with the last leaves.
    async fn end_session(&mut self) -> Result<More, GivenUp> {
        let Some(mut session) = self.session.take() else { return Ok(More::Nothing) };
        self.node.metrics.leases.dec();
        let Changes { joins, leaves } = self.local_viewers.take_changes(MAX_RECORDS);
        let reply = self.insist(&mut session, Phase::Ended, &joins, &leaves, Upkeep::None).await?;
        self.answered(&reply, Counted::All);
        if let Some(held) = reply.held {
            // Nobody else knows that this is still to be published.
            sleep(held).await;
            self.asked = Instant::now();
            let call = self.node.scripts.read(&self.keys, self.view.seen());
            let reply = self.node.commands.call(&call).await.map_err(|_| GivenUp)?;
            self.answered(&reply, Counted::All);
        }
        Ok(More::Nothing)
    }

    async fn hello(&mut self) -> Result<Reply, GivenUp> {
        loop {
            self.asked = Instant::now();
            let call = self.node.scripts.hello(&self.keys, self.view.seen(), &self.node.id);
            // A second hello after one whose answer got lost leaves an empty session behind, which ends with its lease.
            match self.node.commands.call(&call).await {
                Ok(reply) => return Ok(reply),
                Err(_) => self.pause().await?,
            }
        }
    }

    /// Says the same, under the same number, until it is answered. However often, the lease is prolonged from the first
    /// time: a node that nothing answers does not go on counting by asking again.
    async fn insist(
        &mut self,
        session: &mut Session,
        phase: Phase<'_>,
        joins: &[(crate::local_viewers::ViewerId, crate::visitor::Visitor)],
        leaves: &[crate::local_viewers::ViewerId],
        upkeep: Upkeep,
    ) -> Result<Reply, GivenUp> {
        let has_content = !joins.is_empty() || !leaves.is_empty() || phase != Phase::Same;
        let seq = session.seq + u64::from(has_content);
        let expected = (session.registered + joins.len()).saturating_sub(leaves.len());
        let last_words = phase == Phase::Ended;
        self.asked = Instant::now();
        let heard = self.heard.map_or((0, Duration::ZERO), |(clock, at)| (clock, at.elapsed()));
        loop {
            let report = Report { session: &session.id, seq, heard, expected, phase, joins, leaves, upkeep };
            let call = self.node.scripts.report(&self.keys, self.view.seen(), &report);
            match self.node.commands.call(&call).await {
                Ok(reply) => {
                    (session.seq, session.registered) = (seq, expected);
                    return Ok(reply);
                }
                Err(_) if last_words && self.asked.elapsed() > self.node.timing.lease => return Err(GivenUp),
                Err(_) if last_words => sleep(RETRY).await,
                Err(_) => self.pause().await?,
            }
        }
    }

    /// Before another attempt, unless there is no use in one any more.
    async fn pause(&self) -> Result<(), GivenUp> {
        let pause = RETRY.mul_f64(rand::random_range(0.5..1.0));
        let _over = self.node.releasing.run_until_cancelled(sleep(pause)).await;
        if self.is_over() { Err(GivenUp) } else { Ok(()) }
    }

    /// Takes in what Redis said, and plans the next call. Only where this node's viewers count with it, or where it has none,
    /// may the view go by the lower number that it may bring.
    fn answered(&mut self, reply: &Reply, counted: Counted) {
        self.heard = Some((reply.now, Instant::now()));
        let before = std::mem::replace(&mut self.epoch, reply.state.epoch);
        if before > 0 && before < reply.state.epoch {
            self.node.lost.send_modify(|times| *times += 1);
        }
        self.view.replied(reply.state, matches!(counted, Counted::All).then_some(self.asked));
        if reply.held.is_some() {
            self.node.metrics.held_back.inc();
        }
        let others = reply.nodes.saturating_sub(u64::from(self.session.is_some()));
        self.schedule.plan(reply, others, self.asked, &self.node.timing);
        if let Some(session) = &reply.reap {
            let node = Arc::clone(&self.node);
            self.node.spawn(reaper::run(node, Arc::clone(&self.view), self.keys.clone(), session.clone()));
        }
    }
}

/// Why all must be registered afresh, if so.
fn resync(status: Status) -> Option<Resync> {
    match status {
        Status::Ok => None,
        Status::Unknown => Some(Resync::Unknown),
        Status::Gap => Some(Resync::Gap),
        Status::Differs => Some(Resync::Differs),
    }
}
