//! What viewers watch: one [`LiveFeed`] for each counter, look and image format that has viewers on this node. Its
//! driver follows the counter's number, draws it when what the picture shows has changed, and publishes the frame.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headcount_drawing::{Artist, Figure, Format, Look, Shows};
use headcount_engine::{Engine, Feed, Guest};
use headcount_presence::{Counter, CounterName, Presence, Reading, Refusal, Seat};
use headcount_wire::Frame;
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

/// A feed that nobody views is kept for between one and two of these, for the reload that comes right after.
const LINGER: Duration = Duration::from_secs(5);
/// A drawing that takes no longer needs no pause behind it: usual looks take a tenth of a millisecond.
const SWIFT: Duration = Duration::from_millis(5);

/// What the engine keeps for a viewer: its seat in the count, and its feed.
pub(crate) struct Viewer {
    seat: Seat,
    /// Keeps the feed's driver going.
    _feed: Arc<LiveFeed>,
}

impl Guest for Viewer {
    fn seated(&mut self) {
        self.seat.take();
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
pub(crate) struct LiveFeed {
    counter: Counter,
    feed: Feed<Viewer>,
}

impl LiveFeed {
    /// The counter behind it.
    pub(crate) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// The engine's side of it.
    pub(crate) fn frames(&self) -> &Feed<Viewer> {
        &self.feed
    }

    /// What the engine is given for a viewer who has been admitted.
    pub(crate) fn viewer(self: &Arc<Self>, seat: Seat) -> Viewer {
        Viewer { seat, _feed: Arc::clone(self) }
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
    Counter(#[from] Refusal),
}

/// All live feeds of this node.
pub(crate) struct Feeds {
    presence: Presence,
    engine: Engine<Viewer>,
    artist: Artist,
    /// Below it, pictures say "fewer than".
    small: u64,
    max_looks: usize,
    drivers: TaskTracker,
    live: Mutex<HashMap<FeedKey, Arc<LiveFeed>>>,
}

impl Feeds {
    /// No feeds yet. At most `max_looks` will live at once.
    pub(crate) fn new(
        presence: Presence,
        engine: Engine<Viewer>,
        artist: Artist,
        small: u64,
        max_looks: usize,
        drivers: TaskTracker,
    ) -> Self {
        Self { presence, engine, artist, small, max_looks, drivers, live: Mutex::default() }
    }

    /// Who draws.
    pub(crate) fn artist(&self) -> &Artist {
        &self.artist
    }

    /// Draws a picture. Other tasks of this thread go on elsewhere meanwhile.
    pub(crate) fn draw(&self, look: &Look, figure: &Figure, format: Format) -> Vec<u8> {
        tokio::task::block_in_place(|| self.artist.draw(look, figure, format))
    }

    /// What a picture in this look shows of a reading.
    pub(crate) fn figure(&self, look: &Look, reading: &Reading) -> Figure {
        figure(look, reading, self.small)
    }

    /// The feed of this name; begins it where it is not live.
    ///
    /// # Errors
    /// [`FeedError`].
    pub(crate) async fn open(self: &Arc<Self>, key: FeedKey) -> Result<Arc<LiveFeed>, FeedError> {
        if let Some(feed) = self.lock().get(&key) {
            return Ok(Arc::clone(feed));
        }
        let counter = self.presence.counter(&key.counter)?;
        let mut readings = counter.watch();
        let reading = counter.settled().await;
        readings.mark_unchanged();
        let figure = self.figure(&key.look, &reading);
        let frame = self.frame(&key, &figure);

        let mut live = self.lock();
        if let Some(feed) = live.get(&key) {
            return Ok(Arc::clone(feed));
        }
        if live.len() >= self.max_looks {
            live.retain(|_, feed| Arc::strong_count(feed) > IDLE_HANDLES);
        }
        if live.len() >= self.max_looks {
            return Err(FeedError::TooManyLooks);
        }
        let feed = self.engine.open(key.counter.as_str().into(), frame);
        let feed = Arc::new(LiveFeed { counter, feed });
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
        feed: Arc<LiveFeed>,
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
                        let began = Instant::now();
                        feed.feed.publish(self.frame(&key, &figure));
                        shown = figure;
                        // The largest looks take tenths of a second to draw: each has half a core at most.
                        if began.elapsed() > SWIFT {
                            tokio::time::sleep(began.elapsed()).await;
                        }
                    }
                }
                _ = look_for_viewers.tick() => {
                    let mut live = self.lock();
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

    fn frame(&self, key: &FeedKey, figure: &Figure) -> Frame {
        Frame::new(&self.draw(&key.look, figure, key.format), key.format.content_type())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FeedKey, Arc<LiveFeed>>> {
        // Nothing panics while it is held.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
