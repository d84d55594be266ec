//! What viewers watch: one [`Feed`] for each counter, look and image format that has viewers on this node. Its
//! driver follows the counter's number, draws it when what the picture shows has changed, and publishes the frame.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headcount_drawing::{Artist, Figure, Format, Look, Shows};
use headcount_engine::{Attachment, Engine, FeedHandle};
use headcount_presence::{AdmissionError, Counter, CounterName, Presence, Reading, Registration};
use headcount_wire::Frame;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

use crate::draw_queue::{DrawQueue, DrawQueueFull};

/// A feed that nobody views is kept for between one and two of these, for the reload that comes right after.
const LINGER: Duration = Duration::from_secs(5);

/// What the engine keeps for a viewer: its registration in the count, and its feed.
pub(crate) struct ViewerAttachment {
    registration: Registration,
    /// Keeps the feed's driver going.
    _feed: Arc<Feed>,
}

impl Attachment for ViewerAttachment {
    fn first_frame_sent(&mut self) {
        self.registration.start_counting();
    }
}

/// Names a feed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FeedKey {
    /// Whose number.
    pub(crate) counter: CounterName,
    /// How it looks.
    pub(crate) look: Look,
    /// PNG or JPEG.
    pub(crate) format: Format,
}

/// One stream of frames.
pub(crate) struct Feed {
    counter: Counter,
    feed: FeedHandle<ViewerAttachment>,
    /// Its place in the table has been given to another.
    evicted: Notify,
}

impl Feed {
    /// The counter behind it.
    pub(crate) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// The engine's side of it.
    pub(crate) fn frames(&self) -> &FeedHandle<ViewerAttachment> {
        &self.feed
    }

    /// What the engine is given for a viewer who has been admitted.
    pub(crate) fn viewer(self: &Arc<Self>, registration: Registration) -> ViewerAttachment {
        ViewerAttachment { registration, _feed: Arc::clone(self) }
    }
}

/// Why a feed cannot be had now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    /// The node holds as many live looks as it may.
    #[error("this node shows as many looks as it can hold")]
    TooManyLooks,
    /// Presence refuses the counter.
    #[error(transparent)]
    Counter(#[from] AdmissionError),
    /// Its first picture cannot be drawn soon.
    #[error(transparent)]
    DrawQueueFull(#[from] DrawQueueFull),
}

/// All live feeds of this node.
pub(crate) struct Feeds {
    presence: Presence,
    engine: Engine<ViewerAttachment>,
    draw_queue: DrawQueue,
    /// Below it, pictures say "fewer than".
    small: u64,
    max_looks: usize,
    drivers: TaskTracker,
    live: Mutex<HashMap<FeedKey, Arc<Feed>>>,
    /// Who begins a feed holds its lock, and others who want it wait for him: its first picture is drawn once.
    opening: Mutex<HashMap<FeedKey, Arc<AsyncMutex<()>>>>,
}

/// A feed that is being begun, until the last who waits for it has it or has gone.
struct OpeningFeed<'a> {
    feeds: &'a Feeds,
    key: &'a FeedKey,
    lock: Arc<AsyncMutex<()>>,
}

impl Drop for OpeningFeed<'_> {
    fn drop(&mut self) {
        let mut opening = lock(&self.feeds.opening);
        // The table's and this one.
        if Arc::strong_count(&self.lock) <= 2 {
            opening.remove(self.key);
        }
    }
}

impl Feeds {
    /// No feeds yet. At most `max_looks` will live at once.
    pub(crate) fn new(
        presence: Presence,
        engine: Engine<ViewerAttachment>,
        artist: Artist,
        small: u64,
        max_looks: usize,
        drivers: TaskTracker,
    ) -> Self {
        let draw_queue = DrawQueue::new(artist);
        Self {
            presence,
            engine,
            draw_queue,
            small,
            max_looks,
            drivers,
            live: Mutex::default(),
            opening: Mutex::default(),
        }
    }

    /// Where pictures are drawn.
    pub(crate) fn draw_queue(&self) -> &DrawQueue {
        &self.draw_queue
    }

    /// What a picture in this look shows of a reading.
    pub(crate) fn figure(&self, look: &Look, reading: &Reading) -> Figure {
        figure(look, reading, self.small)
    }

    /// The feed of this name; begins it where it is not live.
    ///
    /// # Errors
    /// [`FeedError`].
    pub(crate) async fn open(self: &Arc<Self>, key: FeedKey) -> Result<Arc<Feed>, FeedError> {
        if let Some(feed) = lock(&self.live).get(&key) {
            return Ok(Arc::clone(feed));
        }
        let known = Arc::clone(lock(&self.opening).entry(key.clone()).or_default());
        let opening = OpeningFeed { feeds: self, key: &key, lock: known };
        let _first = opening.lock.lock().await;
        if let Some(feed) = lock(&self.live).get(&key) {
            return Ok(Arc::clone(feed));
        }
        self.begin(key.clone()).await
    }

    async fn begin(self: &Arc<Self>, key: FeedKey) -> Result<Arc<Feed>, FeedError> {
        let counter = self.presence.counter(&key.counter)?;
        let mut readings = counter.watch();
        let reading = counter.settled().await;
        readings.mark_unchanged();
        let figure = self.figure(&key.look, &reading);
        let picture = self.draw_queue.first(&key.look, &figure, key.format).await?;
        let frame = Frame::new(&picture, key.format.content_type());

        let mut live = lock(&self.live);
        if live.len() >= self.max_looks {
            live.retain(|_, feed| {
                let is_viewed = Arc::strong_count(feed) > IDLE_HANDLES;
                if !is_viewed {
                    feed.evicted.notify_one();
                }
                is_viewed
            });
        }
        if live.len() >= self.max_looks {
            return Err(FeedError::TooManyLooks);
        }
        let feed = self.engine.open(key.counter.as_str().into(), frame);
        let feed = Arc::new(Feed { counter, feed, evicted: Notify::new() });
        live.insert(key.clone(), Arc::clone(&feed));
        drop(live);
        let feeds = Arc::clone(self);
        let driven = Arc::clone(&feed);
        self.drivers.spawn(async move { feeds.drive(key, driven, readings, figure).await });
        Ok(feed)
    }

    /// Publishes a frame whenever the picture would change, until nobody has viewed the feed for a while.
    async fn drive(
        self: Arc<Self>,
        key: FeedKey,
        feed: Arc<Feed>,
        mut readings: tokio::sync::watch::Receiver<Reading>,
        mut shown: Figure,
    ) {
        let mut look_for_viewers = tokio::time::interval(LINGER);
        look_for_viewers.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = false;
        // What came between the first frame and here.
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
                        let hand_over = |figure, picture: Vec<u8>| {
                            feed.feed.publish(Frame::new(&picture, key.format.content_type()));
                            shown = figure;
                        };
                        self.draw_queue.change(&key.look, &figure, newest, key.format, hand_over).await;
                    }
                }
                () = feed.evicted.notified() => break,
                _ = look_for_viewers.tick() => {
                    let mut live = lock(&self.live);
                    let current = live.get(&key).is_some_and(|current| Arc::ptr_eq(current, &feed));
                    if Arc::strong_count(&feed) > if current { IDLE_HANDLES } else { IDLE_HANDLES - 1 } {
                        idle = false;
                    } else if !current || std::mem::replace(&mut idle, true) {
                        if current {
                            live.remove(&key);
                        }
                        break;
                    }
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of them is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Handles on a feed without a viewer: the table's and its driver's.
const IDLE_HANDLES: usize = 2;

fn figure(look: &Look, reading: &Reading, small: u64) -> Figure {
    let number = match look.shows() {
        Shows::Count => reading.count,
        Shows::Visitors => reading.visitors,
    };
    let least = small.max(look.small());
    Figure {
        number,
        epoch: reading.epoch,
        version: reading.version,
        stale: reading.stale,
        fewer_than: (number < least).then_some(least),
    }
}
