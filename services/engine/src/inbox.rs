//! A shard's inbox: requests from other threads behind one short lock, and the waker of the shard's poller.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Registry, Token, Waker};
use parking_lot::Mutex;
use socket2::Socket;
use tokio::sync::mpsc;

use crate::{HeldViewer, Rejection, StreamProgress, ViewerPermit};

/// Newcomers that wait for one shard at most, about 1.5 MB. A shard adds some 30,000 a second, so the last waits for half
/// a second.
const MAX_NEWCOMERS: usize = 16 << 10;

/// A viewer waiting to be added by a shard. `F` is the feed's shared state.
pub(crate) struct Newcomer<A, F> {
    pub(crate) socket: Socket,
    pub(crate) start: Start,
    pub(crate) attachment: A,
    pub(crate) permit: ViewerPermit,
    pub(crate) feed: Arc<F>,
}

/// What a newcomer is sent first.
pub(crate) enum Start {
    /// The response's head and the stream's opening, with the newest frame.
    Head(Bytes),
    /// The newest frame, after what another engine has left unsent.
    Resume(StreamProgress),
}

/// A request to end all viewers.
pub(crate) struct DrainOrder {
    pub(crate) spread: Duration,
    /// Dropped when the last viewer has left.
    pub(crate) done: mpsc::Sender<()>,
}

/// What an inbox contains. Each feed is in each list at most once, so all lists are bounded.
pub(crate) struct Mail<A, F> {
    pub(crate) newcomers: VecDeque<Newcomer<A, F>>,
    /// Feeds to start a pass for.
    pub(crate) passes: Vec<Arc<F>>,
    /// Feeds to call back at a time.
    pub(crate) timers: Vec<(Instant, Arc<F>)>,
    /// Feeds to end.
    pub(crate) ended_feeds: Vec<Arc<F>>,
    pub(crate) drains: Vec<DrainOrder>,
    /// Where to send all viewers. The shard stops afterwards.
    pub(crate) holds: Vec<mpsc::Sender<Vec<HeldViewer<A>>>>,
    /// The engine's last handle has been dropped.
    pub(crate) engine_dropped: bool,
    /// Newcomers are rejected.
    closed: bool,
    /// The shard has stopped reading: new mail is dropped.
    shard_stopped: bool,
}

impl<A, F> Default for Mail<A, F> {
    fn default() -> Self {
        Self {
            newcomers: VecDeque::new(),
            passes: Vec::new(),
            timers: Vec::new(),
            ended_feeds: Vec::new(),
            drains: Vec::new(),
            holds: Vec::new(),
            engine_dropped: false,
            closed: false,
            shard_stopped: false,
        }
    }
}

/// One shard's inbox. It knows nothing of the feed state `F`, which in turn knows the inboxes.
pub(crate) struct Inbox<A, F> {
    mail: Mutex<Mail<A, F>>,
    waker: Waker,
    /// The waker has been used since the shard last read its mail.
    wake_pending: AtomicBool,
    /// The shard's viewers, including newcomers in the inbox.
    load: AtomicUsize,
}

impl<A, F> Inbox<A, F> {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self {
            mail: Mutex::default(),
            waker: Waker::new(registry, token)?,
            wake_pending: AtomicBool::new(false),
            load: AtomicUsize::new(0),
        })
    }

    /// The number of the shard's viewers, including newcomers in the inbox.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Called when a viewer of the shard has left.
    pub(crate) fn viewer_left(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds a newcomer, or returns it with the reason.
    pub(crate) fn join(&self, newcomer: Newcomer<A, F>) -> Result<(), (Newcomer<A, F>, Rejection)> {
        {
            let mut mail = self.mail.lock();
            if mail.closed {
                return Err((newcomer, Rejection::Draining));
            }
            // Those who are resumed are here already, and no more than the limits of viewers allowed.
            if mail.newcomers.len() >= MAX_NEWCOMERS && matches!(newcomer.start, Start::Head(_)) {
                return Err((newcomer, Rejection::Busy));
            }
            mail.newcomers.push_back(newcomer);
            self.load.fetch_add(1, Ordering::Relaxed);
        }
        self.wake();
        Ok(())
    }

    /// Asks for a pass over the feed's viewers. Returns false if the shard has stopped.
    pub(crate) fn start_pass(&self, feed: Arc<F>) -> bool {
        self.add(|mail| mail.passes.push(feed))
    }

    /// Asks for a call back at `at`. Returns false if the shard has stopped.
    pub(crate) fn set_timer(&self, at: Instant, feed: Arc<F>) -> bool {
        self.add(|mail| mail.timers.push((at, feed)))
    }

    /// Asks to end the feed's viewers.
    pub(crate) fn end_feed(&self, feed: Arc<F>) {
        self.add(|mail| mail.ended_feeds.push(feed));
    }

    /// Asks to end all viewers. Rejects newcomers from now on.
    pub(crate) fn drain(&self, order: DrainOrder) {
        self.add(|mail| {
            mail.closed = true;
            mail.drains.push(order);
        });
    }

    /// Asks the shard to send all viewers to `to`, newcomers included, and to stop. Rejects newcomers from now on.
    pub(crate) fn hold(&self, to: mpsc::Sender<Vec<HeldViewer<A>>>) {
        self.add(|mail| {
            mail.closed = true;
            mail.holds.push(to);
        });
    }

    /// Asks the shard to drop everything and stop.
    pub(crate) fn engine_dropped(&self) {
        self.add(|mail| {
            mail.closed = true;
            mail.engine_dropped = true;
        });
    }

    /// Takes the mail with at most `max_newcomers` newcomers. Also returns whether more newcomers wait.
    pub(crate) fn take(&self, max_newcomers: usize) -> (Mail<A, F>, bool) {
        self.wake_pending.store(false, Ordering::SeqCst);
        let mut mail = self.mail.lock();
        let newcomers = mail.newcomers.len().min(max_newcomers);
        let taken = Mail {
            newcomers: mail.newcomers.drain(..newcomers).collect(),
            passes: std::mem::take(&mut mail.passes),
            timers: std::mem::take(&mut mail.timers),
            ended_feeds: std::mem::take(&mut mail.ended_feeds),
            drains: std::mem::take(&mut mail.drains),
            holds: std::mem::take(&mut mail.holds),
            engine_dropped: mail.engine_dropped,
            ..Mail::default()
        };
        (taken, !mail.newcomers.is_empty())
    }

    /// Called when the shard stops. Returns the remaining mail; later mail is dropped, and later newcomers are rejected.
    pub(crate) fn shard_stopped(&self) -> Mail<A, F> {
        let stopped = Mail { closed: true, shard_stopped: true, ..Mail::default() };
        let remaining = std::mem::replace(&mut *self.mail.lock(), stopped);
        self.load.store(usize::MAX, Ordering::Relaxed);
        remaining
    }

    /// Returns whether the shard has stopped.
    pub(crate) fn shard_has_stopped(&self) -> bool {
        self.mail.lock().shard_stopped
    }

    /// Adds to the mail. Returns false if the shard has stopped.
    fn add(&self, write: impl FnOnce(&mut Mail<A, F>)) -> bool {
        let mut mail = self.mail.lock();
        if mail.shard_stopped {
            return false;
        }
        write(&mut mail);
        drop(mail);
        self.wake();
        true
    }

    fn wake(&self) {
        if !self.wake_pending.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            // The shard reads its mail at least once a second anyway.
            tracing::error!(%error, "a shard could not be woken");
        }
    }
}
