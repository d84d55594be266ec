//! Feeds: one for each counter, look and image format that has viewers on this node. A feed's driver follows its counter,
//! draws the picture when what it shows has changed, and publishes the frame.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headcount_drawing::{Artist, Figure, Format, Look, Shows};
use headcount_engine::{Attachment, Engine, FeedHandle};
use headcount_presence::{AdmissionError, Counter, CounterName, Presence, Reading, Registration};
use headcount_wire::Frame;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::draw_queue::{DrawQueue, DrawQueueFull};

/// Interval at which a feed without viewers is looked for. Its second consecutive one ends the feed, so that a page's reload
/// finds it.
const LINGER: Duration = Duration::from_secs(5);
/// References to a feed without viewers: the table's and the driver's.
const IDLE_REFERENCES: usize = 2;

/// What the engine keeps with a viewer: its registration and its feed.
pub(crate) struct ViewerAttachment {
    registration: Registration,
    /// Keeps the feed's driver running.
    _feed: Arc<Feed>,
}

impl Attachment for ViewerAttachment {
    fn first_frame_sent(&mut self) {
        self.registration.start_counting();
    }
}

/// Identifies a feed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FeedKey {
    /// The counter.
    pub(crate) counter: CounterName,
    /// The look of its pictures.
    pub(crate) look: Look,
    /// PNG or JPEG.
    pub(crate) format: Format,
}

/// A stream of frames that viewers share.
pub(crate) struct Feed {
    counter: Counter,
    handle: FeedHandle<ViewerAttachment>,
    /// Notified when the feed has been removed from the table to make room for another.
    evicted: Notify,
}

impl Feed {
    /// The feed's counter.
    pub(crate) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// The feed in the engine.
    pub(crate) fn handle(&self) -> &FeedHandle<ViewerAttachment> {
        &self.handle
    }

    /// Returns what the engine keeps with an admitted viewer.
    pub(crate) fn attachment(self: &Arc<Self>, registration: Registration) -> ViewerAttachment {
        ViewerAttachment { registration, _feed: Arc::clone(self) }
    }
}

/// Why a feed cannot be opened now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    /// The node has as many live looks as it may.
    #[error("this node shows as many looks as it can hold")]
    TooManyLooks,
    /// Presence refuses the counter.
    #[error(transparent)]
    Counter(#[from] AdmissionError),
    /// Too many large pictures wait to be drawn.
    #[error(transparent)]
    DrawQueueFull(#[from] DrawQueueFull),
}

/// All feeds of this node.
pub(crate) struct Feeds {
    presence: Presence,
    engine: Engine<ViewerAttachment>,
    draw_queue: DrawQueue,
    /// Below this count, pictures say "fewer than".
    small: u64,
    max_looks: usize,
    drivers: TaskTracker,
    stopping: CancellationToken,
    live: Mutex<HashMap<FeedKey, Arc<Feed>>>,
    /// A lock for each feed that is being opened: its first picture is drawn once, and other viewers wait for it.
    opening: Mutex<HashMap<FeedKey, Arc<AsyncMutex<()>>>>,
}

/// A reference to the lock of a feed that is being opened. The last one removes the lock from the table.
struct OpeningFeed<'a> {
    feeds: &'a Feeds,
    key: &'a FeedKey,
    lock: Arc<AsyncMutex<()>>,
}

impl Drop for OpeningFeed<'_> {
    fn drop(&mut self) {
        let mut opening = self.feeds.opening.lock();
        // The table's reference and this one.
        if Arc::strong_count(&self.lock) <= 2 {
            opening.remove(self.key);
        }
    }
}

impl Feeds {
    /// Creates an empty table for at most `max_looks` feeds.
    pub(crate) fn new(
        presence: Presence,
        engine: Engine<ViewerAttachment>,
        artist: Artist,
        small: u64,
        max_looks: usize,
    ) -> Self {
        Self {
            presence,
            engine,
            draw_queue: DrawQueue::new(artist),
            small,
            max_looks,
            drivers: TaskTracker::new(),
            stopping: CancellationToken::new(),
            live: Mutex::default(),
            opening: Mutex::default(),
        }
    }

    /// Where pictures are drawn.
    pub(crate) fn draw_queue(&self) -> &DrawQueue {
        &self.draw_queue
    }

    /// Returns what a picture in this look shows of a reading.
    pub(crate) fn figure(&self, look: &Look, reading: &Reading) -> Figure {
        let number = match look.shows() {
            Shows::Count => reading.count,
            Shows::Visitors => reading.visitors,
        };
        let min = self.small.max(look.small());
        Figure {
            number,
            epoch: reading.epoch,
            version: reading.version,
            stale: reading.stale,
            fewer_than: (number < min).then_some(min),
        }
    }

    /// Returns the feed with this key, and opens it if it is not live.
    ///
    /// # Errors
    /// Fails if the node has too many live looks, if presence refuses the counter, or if the first picture cannot be drawn
    /// soon.
    pub(crate) async fn open(self: &Arc<Self>, key: FeedKey) -> Result<Arc<Feed>, FeedError> {
        if let Some(feed) = self.live.lock().get(&key) {
            return Ok(Arc::clone(feed));
        }
        let lock = Arc::clone(self.opening.lock().entry(key.clone()).or_default());
        let opening = OpeningFeed { feeds: self, key: &key, lock };
        let _exclusive = opening.lock.lock().await;
        if let Some(feed) = self.live.lock().get(&key) {
            return Ok(Arc::clone(feed));
        }
        self.open_new(key.clone()).await
    }

    /// Ends all drivers and waits for them. Call once all streams have ended.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.drivers.close();
        self.drivers.wait().await;
    }

    async fn open_new(self: &Arc<Self>, key: FeedKey) -> Result<Arc<Feed>, FeedError> {
        let counter = self.presence.counter(&key.counter)?;
        let mut readings = counter.watch();
        let reading = counter.settled().await;
        readings.mark_unchanged();
        let figure = self.figure(&key.look, &reading);
        let picture = self.draw_queue.draw_first(&key.look, &figure, key.format).await?;
        let frame = Frame::new(&picture, key.format.content_type());

        let mut live = self.live.lock();
        if live.len() >= self.max_looks {
            live.retain(|_, feed| {
                let is_viewed = Arc::strong_count(feed) > IDLE_REFERENCES;
                if !is_viewed {
                    feed.evicted.notify_one();
                }
                is_viewed
            });
        }
        if live.len() >= self.max_looks {
            return Err(FeedError::TooManyLooks);
        }
        let handle = self.engine.open(key.counter.as_str().into(), frame);
        let feed = Arc::new(Feed { counter, handle, evicted: Notify::new() });
        live.insert(key.clone(), Arc::clone(&feed));
        drop(live);
        let driver = Arc::clone(self).drive(key, Arc::clone(&feed), readings, figure);
        self.drivers.spawn(self.stopping.clone().run_until_cancelled_owned(driver));
        Ok(feed)
    }

    /// Publishes a frame whenever the picture changes, until the feed has had no viewers for a while.
    async fn drive(
        self: Arc<Self>,
        key: FeedKey,
        feed: Arc<Feed>,
        mut readings: watch::Receiver<Reading>,
        mut shown: Figure,
    ) {
        let mut idle_check = tokio::time::interval(LINGER);
        idle_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_idle = false;
        // The reading may have changed since the first frame.
        readings.mark_changed();
        loop {
            tokio::select! {
                changed = readings.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let figure = self.figure(&key.look, &readings.borrow_and_update());
                    if figure.stale != shown.stale || key.look.text(&figure) != key.look.text(&shown) {
                        let newest = || self.figure(&key.look, &readings.borrow_and_update());
                        let publish = |figure, picture: Vec<u8>| {
                            feed.handle.publish(Frame::new(&picture, key.format.content_type()));
                            shown = figure;
                        };
                        self.draw_queue.draw_change(&key.look, &figure, newest, key.format, publish).await;
                    }
                }
                () = feed.evicted.notified() => break,
                _ = idle_check.tick() => {
                    let mut live = self.live.lock();
                    let is_current = live.get(&key).is_some_and(|current| Arc::ptr_eq(current, &feed));
                    let idle_references = if is_current { IDLE_REFERENCES } else { IDLE_REFERENCES - 1 };
                    if Arc::strong_count(&feed) > idle_references {
                        was_idle = false;
                    } else if !is_current || std::mem::replace(&mut was_idle, true) {
                        if is_current {
                            live.remove(&key);
                        }
                        break;
                    }
                }
            }
        }
    }
}
