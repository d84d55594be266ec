//! One shard: a thread that owns the sockets of its viewers, and goes round between what their peers do, what the
//! rest of the engine asks for, what time it is, and the passes that are on.

mod departing_sockets;
mod feed_viewers;
mod keepalive_rotation;
mod pass_queue;
mod shard_feed;
mod viewer;
mod viewer_table;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token};
use slab::Slab;

use self::departing_sockets::{DepartingSocket, Drain, LINGER_CHECK};
use self::keepalive_rotation::KeepaliveRotation;
use self::shard_feed::{Pass, ShardFeed};
use self::viewer::Viewer;
use crate::feed_state::FeedState;
use crate::inbox::{Inbox, Mail};
use crate::metrics::{DepartureCause, Metrics, SendTotals};
use crate::socket::Read;
use crate::{Attachment, Settings, socket};

/// The waker's token; all others are keys of viewers, or of leaving sockets with [`DEPARTING`].
const WAKER: Token = Token(usize::MAX);
/// Marks the tokens of sockets that are leaving.
const DEPARTING: usize = 1 << 62;
/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
/// Newcomers taken in before the shard goes on with its passes: about 1 ms, less than a slice of a pass takes. So a
/// storm of joins never has more than a third of the shard while there is something to show.
const NEWCOMERS_A_ROUND: usize = 32;
/// What a viewer may send after its request, all in all. A browser sends nothing; a client that goes on talking is
/// not what this is for.
const MAX_INPUT_BYTES: usize = 64 << 10;
/// The longest a shard sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Stalled viewers are looked for so many times within the stall limit.
const STALL_CHECKS: u32 = 50;

/// A shard, to be [`run`](Self::run) by its thread.
pub(crate) struct Shard<A> {
    index: usize,
    poll: Poll,
    inbox: Arc<Inbox<A>>,
    metrics: Metrics,
    viewers: Slab<Viewer<A>>,
    feeds: Slab<ShardFeed<A>>,
    /// By the schedule's id.
    feed_keys: HashMap<u64, usize>,
    /// Feeds with a pass on; each once.
    passes: VecDeque<usize>,
    /// When schedules want to be asked again.
    alarms: BTreeMap<(Instant, u64), Arc<FeedState<A>>>,
    wheel: KeepaliveRotation,
    /// A frame that all of a feed were shown less than this ago need not be repeated.
    fresh: Duration,
    /// Keys of the viewers that lag.
    lagging: Vec<u32>,
    stall_limit: Duration,
    stalls_checked: Instant,
    leaving: Slab<DepartingSocket>,
    leaving_checked: Instant,
    drain: Option<Drain>,
    /// More newcomers wait than the last round took in.
    newcomers_wait: bool,
}

impl<A> Drop for Shard<A> {
    /// Also when a attachment has panicked: then nobody may wait for this shard.
    fn drop(&mut self) {
        let waiting = self.inbox.stop();
        if std::thread::panicking() {
            tracing::error!(
                shard = self.index,
                viewers = self.viewers.len(),
                "a shard has panicked: its viewers are lost"
            );
            let now = Instant::now();
            for (_, showing) in self.feeds.iter().filter(|(_, showing)| matches!(showing.pass, Pass::Frame(_))) {
                showing.schedule.passed(now, showing.worked);
            }
            for schedule in waiting.released {
                schedule.passed(now, Duration::ZERO);
            }
            for schedule in self.alarms.values().chain(waiting.alarms.iter().map(|(_, schedule)| schedule)) {
                schedule.alarm(now);
            }
        }
    }
}

impl<A: Attachment> Shard<A> {
    pub(crate) fn new(index: usize, settings: &Settings, metrics: Metrics) -> io::Result<Self> {
        let poll = Poll::new()?;
        let inbox = Arc::new(Inbox::new(poll.registry(), WAKER)?);
        let now = Instant::now();
        let (round, fresh) = pass_queue::round_and_fresh(settings.keepalive);
        Ok(Self {
            index,
            poll,
            inbox,
            metrics,
            viewers: Slab::new(),
            feeds: Slab::new(),
            feed_keys: HashMap::new(),
            passes: VecDeque::new(),
            alarms: BTreeMap::new(),
            wheel: KeepaliveRotation::new(round, now),
            fresh,
            lagging: Vec::new(),
            stall_limit: settings.stall_limit,
            stalls_checked: now,
            leaving: Slab::new(),
            leaving_checked: now,
            drain: None,
            newcomers_wait: false,
        })
    }

    pub(crate) fn inbox(&self) -> Arc<Inbox<A>> {
        Arc::clone(&self.inbox)
    }

    /// Works until the engine is dropped.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.sleep(Instant::now());
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, shard = self.index, "the poller failed");
            }
            let now = Instant::now();
            for event in &events {
                self.handle_event(event, now);
            }
            let (mail, more) = self.inbox.take(NEWCOMERS_A_ROUND);
            self.newcomers_wait = more;
            if mail.abandoned {
                self.viewers.iter().for_each(|_| self.metrics.departed(DepartureCause::Dropped));
                return;
            }
            self.open(mail, now);
            self.keep_time(now);
            self.slice(now);
        }
    }

    /// How long there is nothing to do but wait for events.
    fn sleep(&self, now: Instant) -> Duration {
        if !self.passes.is_empty() || self.newcomers_wait {
            return Duration::ZERO;
        }
        let mut until = now + LONGEST_SLEEP;
        if !self.viewers.is_empty() {
            until = until.min(self.wheel.next_at());
        }
        if !self.lagging.is_empty() {
            until = until.min(self.stalls_checked + self.stall_limit / STALL_CHECKS);
        }
        if !self.leaving.is_empty() {
            until = until.min(self.leaving_checked + LINGER_CHECK);
        }
        if let Some(next) = self.drain.as_ref().and_then(|drain| drain.next_at(now)) {
            until = until.min(next);
        }
        if let Some(((alarm, _), _)) = self.alarms.first_key_value() {
            until = until.min(*alarm);
        }
        until.saturating_duration_since(now)
    }

    fn handle_event(&mut self, event: &Event, now: Instant) {
        let Token(key) = event.token();
        if event.token() == WAKER {
            return;
        }
        if key & DEPARTING != 0 {
            return self.handle_departing_event(key & !DEPARTING);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(key);
        }
        if event.is_writable() {
            self.write(key, now);
        }
    }

    /// Throws away what a viewer has sent, and sees whether it has gone.
    fn read(&mut self, key: usize) {
        let Some(viewer) = self.viewers.get_mut(key) else { return };
        let allowance = MAX_INPUT_BYTES - viewer.input_bytes as usize;
        match socket::discard_input(&viewer.socket, allowance) {
            Ok(Read::Discarded(bytes)) if bytes <= allowance => viewer.input_bytes += bytes as u32,
            Ok(Read::Discarded(_)) => self.depart(key, DepartureCause::Talkative),
            Ok(Read::Ended) => self.depart(key, DepartureCause::Closed),
            Err(error) => self.depart_broken(key, &error),
        }
    }

    /// Lets a lagging viewer catch up.
    fn write(&mut self, key: usize, now: Instant) {
        let Some(viewer) = self.viewers.get_mut(key) else { return };
        if viewer.behind.is_none() {
            return;
        }
        let mut tally = SendTotals::default();
        let progress = viewer.catch_up(&self.feeds[viewer.feed as usize].frame, now, &mut tally);
        self.metrics.pushed(&tally);
        self.settle(key, progress, now);
    }

    fn open(&mut self, mail: Mail<A>, now: Instant) {
        // Before the newcomers, whose attachments may panic: then somebody else has to keep the time.
        for (at, schedule) in mail.alarms {
            self.alarms.insert((at, schedule.id), schedule);
        }
        // Before the newcomers: their first frame is the new one, and they need no part in the pass.
        for schedule in mail.released {
            self.begin_pass(&schedule, now);
        }
        for newcomer in mail.newcomers {
            self.join(newcomer, now);
        }
        for schedule in mail.ended {
            self.begin_ending(&schedule, now);
        }
        for order in mail.drains {
            self.begin_drain(order, now);
        }
    }

    fn keep_time(&mut self, now: Instant) {
        while let Some(alarm) = self.alarms.first_entry()
            && alarm.key().0 <= now
        {
            alarm.remove().alarm(now);
        }
        self.keep_alive(now);
        self.drop_stalled(now);
        self.close_overdue(now);
        self.drain_on(now);
    }
}
