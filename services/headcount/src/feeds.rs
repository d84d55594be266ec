//! Feeds: one for each counter, look and image format that has viewers on this node. A feed's driver follows its counter,
//! draws the picture when what it shows has changed, and publishes the frame.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headcount_drawing::{Artist, Figure, Format, Look, Shows};
use headcount_engine::{Attachment, Engine, FeedHandle};
use headcount_presence::{AddressLimits, AdmissionError, Counter, CounterName, Presence, Reading, Registration};
use headcount_wire::Frame;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter as MetricCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::draw_cost::DrawCost;
use crate::draw_pace::DrawPace;
use crate::draw_queue::{DrawQueue, DrawQueueFull};
use crate::look_limits::{LookLimits, LookOwner, LookPermit, LookRefusal};

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
    /// Presence refuses the counter.
    #[error(transparent)]
    Counter(#[from] AdmissionError),
    /// Too many pictures wait to be drawn.
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
    /// The time between two pictures of a look.
    frame_interval: Duration,
    look_limits: Arc<LookLimits>,
    /// Viewers who got the default look instead of the one that they requested.
    replaced: Family<CauseLabel, MetricCounter>,
    drivers: TaskTracker,
    stopping: CancellationToken,
    live: Mutex<HashMap<FeedKey, LiveFeed>>,
    /// With this many feeds in the table, those without viewers are removed before their time.
    sweep_at: AtomicUsize,
    max_looks: usize,
    /// A lock for each feed that is being opened: its first picture is drawn once, and other viewers wait for it.
    opening: Mutex<HashMap<FeedKey, Arc<AsyncMutex<()>>>>,
}

/// Settings of [`Feeds`].
pub(crate) struct FeedSettings {
    /// Below this count, pictures say "fewer than".
    pub(crate) small: u64,
    /// Most pictures of a look in a second.
    pub(crate) frame_rate: f64,
    /// Most live looks, except default ones.
    pub(crate) max_looks: usize,
    /// Which addresses no limit applies to.
    pub(crate) addresses: AddressLimits,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

/// A feed in the table.
struct LiveFeed {
    feed: Arc<Feed>,
    /// Counts its look. `None` for the default look.
    permit: Option<LookPermit>,
}

/// Why a feed with exactly this key cannot be opened now.
enum OpenError {
    Look(LookRefusal),
    Feed(FeedError),
}

impl<E: Into<FeedError>> From<E> for OpenError {
    fn from(error: E) -> Self {
        Self::Feed(error.into())
    }
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
    /// Creates an empty table.
    pub(crate) fn new(
        presence: Presence,
        engine: Engine<ViewerAttachment>,
        artist: Artist,
        settings: FeedSettings,
    ) -> Self {
        let replaced = Family::default();
        // Every cause is 0 from the start: Prometheus' `increase` does not count the first event of a new series.
        for refusal in LookRefusal::ALL {
            let _: &MetricCounter = &replaced.get_or_create(&CauseLabel { cause: refusal.cause() });
        }
        Self {
            presence,
            engine,
            draw_queue: DrawQueue::new(artist),
            small: settings.small,
            frame_interval: Duration::from_secs_f64(1.0 / settings.frame_rate),
            look_limits: LookLimits::new(settings.max_looks, settings.addresses),
            replaced,
            drivers: TaskTracker::new(),
            stopping: CancellationToken::new(),
            live: Mutex::default(),
            sweep_at: AtomicUsize::new(settings.max_looks),
            max_looks: settings.max_looks,
            opening: Mutex::default(),
        }
    }

    /// Registers all metrics.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        registry.register(
            "looks_replaced",
            "Viewers who got a counter's default look because no further look could be drawn, by cause",
            self.replaced.clone(),
        );
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

    /// Draws one picture of a reading.
    ///
    /// # Errors
    /// Fails if it cannot be drawn soon.
    pub(crate) async fn draw_snapshot(
        &self,
        look: &Look,
        reading: &Reading,
        format: Format,
        client_ip: IpAddr,
    ) -> Result<Vec<u8>, DrawQueueFull> {
        let owner = self.look_limits.owner(client_ip);
        let (picture, _) = self.draw_queue.draw_first(look, &self.figure(look, reading), format, owner).await?;
        Ok(picture)
    }

    /// Returns the feed with this key, and opens it if it is not live. If no further look may be opened, returns the feed of
    /// the counter's default look in the same format.
    ///
    /// # Errors
    /// Fails if presence refuses the counter, or if the first picture cannot be drawn soon.
    pub(crate) async fn open(self: &Arc<Self>, key: FeedKey, client_ip: IpAddr) -> Result<Arc<Feed>, FeedError> {
        let default = FeedKey { counter: key.counter.clone(), look: Look::default(), format: key.format };
        match self.open_exactly(key, client_ip).await {
            Ok(feed) => Ok(feed),
            Err(OpenError::Feed(error)) => Err(error),
            Err(OpenError::Look(refusal)) => {
                self.replaced.get_or_create(&CauseLabel { cause: refusal.cause() }).inc();
                match self.open_exactly(default, client_ip).await {
                    Ok(feed) => Ok(feed),
                    Err(OpenError::Feed(error)) => Err(error),
                    Err(OpenError::Look(_)) => unreachable!("the default look has no limit"),
                }
            }
        }
    }

    async fn open_exactly(self: &Arc<Self>, key: FeedKey, client_ip: IpAddr) -> Result<Arc<Feed>, OpenError> {
        if let Some(live) = self.live.lock().get(&key) {
            return Ok(Arc::clone(&live.feed));
        }
        let lock = Arc::clone(self.opening.lock().entry(key.clone()).or_default());
        let opening = OpeningFeed { feeds: self, key: &key, lock };
        let _exclusive = opening.lock.lock().await;
        if let Some(live) = self.live.lock().get(&key) {
            return Ok(Arc::clone(&live.feed));
        }
        self.open_new(key.clone(), client_ip).await
    }

    /// Ends all drivers and waits for them. Call once all streams have ended.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.drivers.close();
        self.drivers.wait().await;
    }

    async fn open_new(self: &Arc<Self>, key: FeedKey, client_ip: IpAddr) -> Result<Arc<Feed>, OpenError> {
        // Before anything is drawn: a refusal costs nothing.
        let permit = if key.look.is_default() {
            self.sweep();
            None
        } else {
            Some(self.look_permit(client_ip)?)
        };
        let owner = self.look_limits.owner(client_ip);
        let counter = self.presence.counter(&key.counter)?;
        let mut readings = counter.watch();
        let reading = counter.settled().await;
        readings.mark_unchanged();
        let figure = self.figure(&key.look, &reading);
        let (picture, cost) = self.draw_queue.draw_first(&key.look, &figure, key.format, owner).await?;
        let frame = Frame::new(&picture, key.format.content_type());

        let handle = self.engine.open(key.counter.as_str().into(), frame);
        let feed = Arc::new(Feed { counter, handle, evicted: Notify::new() });
        self.live.lock().insert(key.clone(), LiveFeed { feed: Arc::clone(&feed), permit });
        let look = DrawnLook { key, figure, cost, owner };
        let driver = Arc::clone(self).drive(look, Arc::clone(&feed), readings);
        self.drivers.spawn(self.stopping.clone().run_until_cancelled_owned(driver));
        Ok(feed)
    }

    /// Counts another look that this address begins. Looks without viewers make room for it.
    fn look_permit(&self, client_ip: IpAddr) -> Result<LookPermit, OpenError> {
        let acquired = self.look_limits.acquire(client_ip).or_else(|refusal| {
            let owner = self.look_limits.owner(client_ip);
            self.evict_unviewed(|permit| {
                permit.is_some_and(|permit| refusal == LookRefusal::MaxLooks || permit.owner() == owner)
            });
            self.look_limits.acquire(client_ip)
        });
        acquired.map_err(OpenError::Look)
    }

    /// Removes the feeds without viewers whenever the table has doubled: default looks have no limit, and invented counters
    /// would fill the memory with feeds that wait for a reload.
    fn sweep(&self) {
        if self.live.lock().len() < self.sweep_at.load(Ordering::Relaxed) {
            return;
        }
        self.evict_unviewed(|_| true);
        let next = self.max_looks.max(self.live.lock().len() * 2);
        self.sweep_at.store(next, Ordering::Relaxed);
    }

    /// Removes those feeds without viewers whose permit `is_wanted`; it is `None` for default looks.
    fn evict_unviewed(&self, is_wanted: impl Fn(Option<&LookPermit>) -> bool) {
        self.live.lock().retain(|_, LiveFeed { feed, permit }| {
            let is_viewed = Arc::strong_count(feed) > IDLE_REFERENCES;
            let stays = is_viewed || !is_wanted(permit.as_ref());
            if !stays {
                feed.evicted.notify_one();
            }
            stays
        });
    }

    /// Publishes a frame whenever the picture changes, until the feed has had no viewers for a while.
    async fn drive(self: Arc<Self>, mut look: DrawnLook, feed: Arc<Feed>, readings: watch::Receiver<Reading>) {
        let key = look.key.clone();
        tokio::select! {
            () = self.redraw(&mut look, &feed, readings) => {}
            () = self.unviewed(&key, &feed) => {}
        }
    }

    /// Publishes a frame whenever the picture changes.
    async fn redraw(&self, look: &mut DrawnLook, feed: &Feed, mut readings: watch::Receiver<Reading>) {
        let DrawnLook { key, figure: shown, cost, owner } = look;
        let differs = |shown: &Figure, figure: &Figure| {
            figure.stale != shown.stale || key.look.text(figure) != key.look.text(shown)
        };
        let mut pace = DrawPace::new(self.frame_interval);
        // The reading may have changed since the first frame.
        readings.mark_changed();
        while readings.changed().await.is_ok() {
            if !differs(shown, &self.figure(&key.look, &readings.borrow_and_update())) {
                continue;
            }
            // The engine would not send it earlier.
            let due = pace.due().max(feed.handle.next_frame_due().into());
            if due > Instant::now() {
                sleep_until(due).await;
            }
            let newest =
                || Some(self.figure(&key.look, &readings.borrow_and_update())).filter(|newest| differs(shown, newest));
            let drawn = self.draw_queue.draw_change(&key.look, cost, newest, key.format, *owner).await;
            if let Some((figure, picture)) = drawn {
                pace.drawn();
                feed.handle.publish(Frame::new(&picture, key.format.content_type()));
                *shown = figure;
            }
        }
    }

    /// Returns when the feed has had no viewers for a while and is no longer in the table.
    async fn unviewed(&self, key: &FeedKey, feed: &Arc<Feed>) {
        let mut idle_check = tokio::time::interval(LINGER);
        idle_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_idle = false;
        loop {
            tokio::select! {
                () = feed.evicted.notified() => return,
                _ = idle_check.tick() => {
                    let mut live = self.live.lock();
                    let is_current = live.get(key).is_some_and(|current| Arc::ptr_eq(&current.feed, feed));
                    let idle_references = if is_current { IDLE_REFERENCES } else { IDLE_REFERENCES - 1 };
                    if Arc::strong_count(feed) > idle_references {
                        was_idle = false;
                    } else if !is_current || std::mem::replace(&mut was_idle, true) {
                        if is_current {
                            live.remove(key);
                        }
                        return;
                    }
                }
            }
        }
    }
}

/// A look as a feed's driver knows it.
struct DrawnLook {
    key: FeedKey,
    /// What the newest picture shows.
    figure: Figure,
    cost: DrawCost,
    owner: LookOwner,
}
