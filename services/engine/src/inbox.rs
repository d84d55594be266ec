//! What the rest of the engine asks of a shard: a mailbox behind one short lock, and the waker of the shard's poller.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Registry, Token, Waker};
use socket2::Socket;
use tokio::sync::mpsc;

use crate::feed_handle::Rejection;
use crate::feed_state::FeedState;
use crate::viewer_limits::ViewerPermit;

/// Newcomers that wait for one shard at most: about 1.5 MB. A shard takes some 30,000 a second, so the last of these
/// waits half a second.
const MAX_NEWCOMERS: usize = 16 << 10;

/// A viewer on its way into a shard.
pub(crate) struct Newcomer<A> {
    pub(crate) socket: Socket,
    pub(crate) head: Bytes,
    pub(crate) attachment: A,
    pub(crate) place: ViewerPermit,
    pub(crate) feed: Arc<FeedState<A>>,
}

/// The order to end all viewers.
pub(crate) struct DrainOrder {
    pub(crate) spread: Duration,
    /// Dropped when the last viewer has gone.
    pub(crate) done: mpsc::Sender<()>,
}

/// What waits for a shard. Each feed is in each list once at most, so all are bounded.
pub(crate) struct Mail<A> {
    pub(crate) newcomers: VecDeque<Newcomer<A>>,
    /// Feeds with a new frame to show.
    pub(crate) released: Vec<Arc<FeedState<A>>>,
    /// Feeds that want to be asked again at a time.
    pub(crate) alarms: Vec<(Instant, Arc<FeedState<A>>)>,
    /// Feeds that have ended.
    pub(crate) ended: Vec<Arc<FeedState<A>>>,
    pub(crate) drains: Vec<DrainOrder>,
    /// Nobody can reach the engine any more.
    pub(crate) abandoned: bool,
    /// Newcomers are refused.
    closed: bool,
    /// Nobody empties the mailbox any more: whatever comes is dropped.
    stopped: bool,
}

impl<A> Default for Mail<A> {
    fn default() -> Self {
        Self {
            newcomers: VecDeque::new(),
            released: Vec::new(),
            alarms: Vec::new(),
            ended: Vec::new(),
            drains: Vec::new(),
            abandoned: false,
            closed: false,
            stopped: false,
        }
    }
}

/// One shard's mailbox.
pub(crate) struct Inbox<A> {
    mail: Mutex<Mail<A>>,
    waker: Waker,
    /// The waker has been used since the shard last looked.
    woken: AtomicBool,
    /// The shard's viewers, and the newcomers on their way to it.
    load: AtomicUsize,
}

impl<A> Inbox<A> {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self {
            mail: Mutex::default(),
            waker: Waker::new(registry, token)?,
            woken: AtomicBool::new(false),
            load: AtomicUsize::new(0),
        })
    }

    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// A viewer of the shard has gone.
    pub(crate) fn unload(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Leaves a newcomer for the shard, or gives it back with the reason.
    pub(crate) fn join(&self, newcomer: Newcomer<A>) -> Result<(), (Newcomer<A>, Rejection)> {
        {
            let mut mail = self.lock();
            if mail.closed {
                return Err((newcomer, Rejection::Draining));
            }
            if mail.newcomers.len() >= MAX_NEWCOMERS {
                return Err((newcomer, Rejection::Busy));
            }
            mail.newcomers.push_back(newcomer);
            self.load.fetch_add(1, Ordering::Relaxed);
        }
        self.wake();
        Ok(())
    }

    /// Gives whether the shard is still there to make the pass.
    pub(crate) fn release(&self, feed: Arc<FeedState<A>>) -> bool {
        self.post(|mail| mail.released.push(feed))
    }

    /// Gives whether the shard is still there to keep the time.
    pub(crate) fn alarm(&self, at: Instant, feed: Arc<FeedState<A>>) -> bool {
        self.post(|mail| mail.alarms.push((at, feed)))
    }

    pub(crate) fn end(&self, feed: Arc<FeedState<A>>) {
        self.post(|mail| mail.ended.push(feed));
    }

    pub(crate) fn drain(&self, order: DrainOrder) {
        self.post(|mail| {
            mail.closed = true;
            mail.drains.push(order);
        });
    }

    /// The shard is to drop everything and stop.
    pub(crate) fn abandon(&self) {
        self.post(|mail| {
            mail.closed = true;
            mail.abandoned = true;
        });
    }

    /// Takes the mail, of the newcomers `newcomers` at most. The flag says whether some are left.
    pub(crate) fn take(&self, newcomers: usize) -> (Mail<A>, bool) {
        self.woken.store(false, Ordering::SeqCst);
        let mut mail = self.lock();
        let take = mail.newcomers.len().min(newcomers);
        let taken = Mail {
            newcomers: mail.newcomers.drain(..take).collect(),
            released: std::mem::take(&mut mail.released),
            alarms: std::mem::take(&mut mail.alarms),
            ended: std::mem::take(&mut mail.ended),
            drains: std::mem::take(&mut mail.drains),
            abandoned: mail.abandoned,
            closed: mail.closed,
            stopped: mail.stopped,
        };
        (taken, !mail.newcomers.is_empty())
    }

    /// The shard stops: whatever comes later is dropped, newcomers go to others. Gives what waits.
    pub(crate) fn stop(&self) -> Mail<A> {
        let stopped = Mail { closed: true, stopped: true, ..Mail::default() };
        let waiting = std::mem::replace(&mut *self.lock(), stopped);
        self.load.store(usize::MAX, Ordering::Relaxed);
        waiting
    }

    /// Gives whether anybody will read it.
    fn post(&self, write: impl FnOnce(&mut Mail<A>)) -> bool {
        let mut mail = self.lock();
        if mail.stopped {
            return false;
        }
        write(&mut mail);
        drop(mail);
        self.wake();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Mail<A>> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            // The shard looks at its mail at least once a second all the same.
            tracing::error!(%error, "a shard could not be woken");
        }
    }
}
