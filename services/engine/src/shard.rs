//! One shard: a thread that owns its viewers' sockets. It takes turns at the poller's events, the inbox, timed work, and
//! slices of the passes in progress.

mod departing_sockets;
mod drain;
mod feed_table;
mod feed_timers;
mod feed_viewers;
mod keepalive_rotation;
mod pass_queue;
mod registrations;
mod shard_feed;
mod viewer;
mod viewer_table;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll};
use tokio::sync::mpsc;

use self::departing_sockets::DepartingSockets;
use self::drain::Drain;
use self::feed_timers::FeedTimers;
use self::keepalive_rotation::KeepaliveRotation;
use self::pass_queue::PassQueue;
use self::registrations::{EventSource, Registrations};
use self::viewer_table::ViewerTable;
use crate::feed_state::{FeedState, ShardInbox};
use crate::inbox::{DrainOrder, Inbox, Mail};
use crate::metrics::Metrics;
use crate::{Attachment, HeldViewer, Settings};

/// Events taken from the kernel per poll.
const MAX_EVENTS: usize = 1024;
/// Newcomers added before the shard continues its passes: about 1 ms, less than a slice of a pass. A burst of joins gets at
/// most a third of the shard's time while passes are in progress.
const NEWCOMERS_PER_ROUND: usize = 32;
/// The longest time between two looks at the inbox, in case a wake-up fails.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Where a shard's viewers are sent: the channels of [`Engine::hold_viewers`](crate::Engine::hold_viewers).
type Holds<A> = Vec<mpsc::Sender<Vec<HeldViewer<A>>>>;

/// A shard. Its thread calls [`run`](Self::run).
pub(crate) struct Shard<A> {
    index: usize,
    poll: Poll,
    inbox: Arc<ShardInbox<A>>,
    viewers: ViewerTable<A>,
    departing: DepartingSockets,
    passes: PassQueue,
    timers: FeedTimers<A>,
    rotation: KeepaliveRotation,
    drain: Option<Drain>,
    /// The inbox has more newcomers than the last round added.
    newcomers_waiting: bool,
}

impl<A> Drop for Shard<A> {
    /// Also runs if an attachment has panicked. Then the feeds must not wait for this shard.
    fn drop(&mut self) {
        let remaining = self.inbox.shard_stopped();
        if std::thread::panicking() {
            tracing::error!(
                shard = self.index,
                viewers = self.viewers.len(),
                "a shard has panicked: its viewers are lost"
            );
            let now = Instant::now();
            self.viewers.abandon_passes(now);
            for feed in remaining.passes {
                feed.pass_finished(now, Duration::ZERO);
            }
            self.timers.fire_all(now);
            for (_, feed) in remaining.timers {
                feed.timer_fired(now);
            }
        }
    }
}

impl<A: Attachment> Shard<A> {
    /// # Errors
    /// Fails if the system provides no poller.
    pub(crate) fn new(index: usize, settings: &Settings, metrics: &Metrics) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registrations = Registrations::new(poll.registry())?;
        let inbox = Arc::new(Inbox::new(poll.registry(), EventSource::Waker.into())?);
        let now = Instant::now();
        let viewers = ViewerTable::new(
            index,
            Arc::clone(&inbox),
            registrations.clone(),
            metrics.clone(),
            settings.stall_limit,
            now,
        );
        Ok(Self {
            index,
            poll,
            inbox,
            viewers,
            departing: DepartingSockets::new(registrations, now),
            passes: PassQueue::default(),
            timers: FeedTimers::new(),
            rotation: KeepaliveRotation::new(settings.keepalive, now),
            drain: None,
            newcomers_waiting: false,
        })
    }

    pub(crate) fn inbox(&self) -> Arc<ShardInbox<A>> {
        Arc::clone(&self.inbox)
    }

    /// Works until the engine is dropped.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        loop {
            let timeout = self.timeout(Instant::now());
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, shard = self.index, "the poller failed");
            }
            let now = Instant::now();
            for event in &events {
                self.handle_event(event, now);
            }
            let (mail, more_newcomers) = self.inbox.take(NEWCOMERS_PER_ROUND);
            self.newcomers_waiting = more_newcomers;
            if mail.engine_dropped {
                self.viewers.count_dropped();
                return;
            }
            let holds = self.handle_mail(mail, now);
            if !holds.is_empty() {
                return self.hold_viewers(holds);
            }
            self.handle_time(now);
            self.passes.run_slice(&mut self.viewers, &mut self.departing, now);
        }
    }

    /// How long the shard may wait for events.
    fn timeout(&self, now: Instant) -> Duration {
        if !self.passes.is_empty() || self.newcomers_waiting {
            return Duration::ZERO;
        }
        let deadlines = [
            (!self.viewers.is_empty()).then(|| self.rotation.next_at()),
            self.viewers.next_stall_check(),
            self.departing.next_check(),
            self.drain.as_ref().and_then(|drain| drain.next_at(now)),
            self.timers.next_at(),
        ];
        let next = deadlines.into_iter().flatten().min();
        next.map_or(MAX_SLEEP, |next| next.saturating_duration_since(now).min(MAX_SLEEP))
    }

    fn handle_event(&mut self, event: &Event, now: Instant) {
        match event.token().into() {
            EventSource::Waker => {}
            EventSource::DepartingSocket(key) => self.departing.on_readable(key),
            EventSource::Viewer(key) => {
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.viewers.on_readable(key);
                }
                if event.is_writable() {
                    self.viewers.on_writable(key, &mut self.departing, now);
                }
            }
        }
    }

    /// Returns where to send all viewers, if that has been asked for.
    fn handle_mail(&mut self, mail: Mail<A, FeedState<A>>, now: Instant) -> Holds<A> {
        // Before the newcomers: if one of their attachments panics, dropping the shard passes the timers on.
        for (at, feed) in mail.timers {
            self.timers.set(at, feed);
        }
        // Before the newcomers: their first frame is the new one, so they need not take part in the pass.
        for feed in mail.passes {
            self.passes.start(&feed, &mut self.viewers, now);
        }
        for newcomer in mail.newcomers {
            self.viewers.join(newcomer, &mut self.departing, now);
        }
        for feed in mail.ended_feeds {
            self.passes.start_ending(&feed, &mut self.viewers, now);
        }
        for order in mail.drains {
            self.start_drain(order, now);
        }
        mail.holds
    }

    /// Adds the newcomers that still wait, and sends all viewers away.
    fn hold_viewers(&mut self, mut holds: Holds<A>) {
        while self.newcomers_waiting {
            let (mail, more_newcomers) = self.inbox.take(NEWCOMERS_PER_ROUND);
            self.newcomers_waiting = more_newcomers;
            self.handle_mail(mail, Instant::now());
        }
        let now = Instant::now();
        let held = self.viewers.take_all(now);
        if let Some(to) = holds.pop() {
            // The channel has room for each shard. It is closed if nobody wants the viewers any more.
            let _closed = to.try_send(held);
        }
    }

    fn start_drain(&mut self, order: DrainOrder, now: Instant) {
        match &mut self.drain {
            Some(drain) => drain.add(order, now),
            None => {
                self.viewers.start_drain();
                self.drain = Some(Drain::new(order, self.viewers.end_key(), now));
            }
        }
    }

    fn handle_time(&mut self, now: Instant) {
        self.timers.fire_due(now);
        while let Some(keys) = self.rotation.next_keys(self.viewers.end_key(), now) {
            self.viewers.repeat_frames(keys, self.rotation.fresh(), &mut self.departing, now);
        }
        self.viewers.drop_stalled(now);
        self.departing.close_expired(now);
        if let Some(drain) = &mut self.drain {
            drain.run(&mut self.viewers, &mut self.departing, now);
            if self.viewers.is_empty() && self.departing.is_empty() && !self.newcomers_waiting {
                drain.complete();
            }
        }
    }
}
