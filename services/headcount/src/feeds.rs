//! Feeds: one for each counter, look and format that has viewers on this node.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use headcount_drawing::{Artist, Format, Look, SetName, SpriteSet};
use headcount_engine::{Engine, Frame, Rejection};
use headcount_presence::{AddressLimits, AdmissionError, Counter, CounterName, Presence, Reading};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter as MetricCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use strum::VariantArray;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::draw_queue::{DrawQueue, DrawQueueFull};
pub(crate) use crate::feed::{Counting, Feed, FeedKey, ViewerAttachment};
use crate::feed_driver::FeedDriver;
use crate::feed_frames::FeedFrames;
use crate::feed_pictures::figure;
use crate::key_locks::KeyLocks;
use crate::look_limits::{LookLimits, LookOwner, LookPermit, LookRefusal};
use crate::reload::{FeedState, ReturningState};
use crate::returning_viewers::{ExpectedViewer, ReturningViewers};
use crate::sprite_sheets::SpriteSheet;
use crate::watching_viewers::WatchingViewers;

/// Interval at which a feed without viewers is looked for. Its second consecutive one ends the feed, so that a page's reload
/// finds it.
const LINGER: Duration = Duration::from_secs(5);
/// References to a feed without viewers: the table's and the driver's.
const IDLE_REFERENCES: usize = 2;

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
    /// Viewers who are expected back.
    returning: Arc<ReturningViewers>,
    watching: Arc<WatchingViewers>,
    /// Below this count, pictures say "fewer than".
    small: u64,
    /// The time between two pictures of a look.
    frame_interval: Duration,
    /// Updates after which a document ends.
    document_updates: NonZeroU16,
    look_limits: Arc<LookLimits>,
    /// Viewers who got the default look instead of the one that they requested.
    replaced: Family<CauseLabel, MetricCounter>,
    drivers: TaskTracker,
    stopping: CancellationToken,
    /// Streams are about to end: frames bring the picture that they end with.
    ending: CancellationToken,
    /// Holds a token of each feed whose streams would not end with a marked picture.
    unmarked: TaskTracker,
    live: Mutex<HashMap<FeedKey, LiveFeed>>,
    /// With this many feeds in the table, those without viewers are removed before their time.
    sweep_at: AtomicUsize,
    max_looks: usize,
    /// A lock for each feed that is being opened: its first picture is drawn once, and other viewers wait for it.
    opening: KeyLocks<FeedKey>,
}

/// Settings of [`Feeds`].
pub(crate) struct FeedSettings {
    /// Below this count, pictures say "fewer than".
    pub(crate) small: u64,
    /// Most pictures of a look in a second.
    pub(crate) frame_rate: f64,
    /// Updates after which a document ends.
    pub(crate) document_updates: NonZeroU16,
    /// Most live looks, except default ones.
    pub(crate) max_looks: usize,
    /// Which addresses no limit applies to.
    pub(crate) addresses: AddressLimits,
    /// The secret that makes the owners of looks.
    pub(crate) owner_key: [u64; 2],
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

/// A feed that is about to be opened.
struct NewFeed {
    key: FeedKey,
    permit: Option<LookPermit>,
    owner: LookOwner,
    counter: Counter,
    readings: watch::Receiver<Reading>,
    frames: FeedFrames,
    /// The newest of its frames.
    frame: Frame,
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
        for refusal in LookRefusal::VARIANTS {
            let _: &MetricCounter = &replaced.get_or_create(&CauseLabel { cause: refusal.into() });
        }
        let returning = Arc::new(ReturningViewers::default());
        let (drivers, stopping) = (TaskTracker::new(), CancellationToken::new());
        let overdue = Arc::clone(&returning);
        drivers.spawn(stopping.clone().run_until_cancelled_owned(async move { overdue.drop_overdue().await }));
        Self {
            presence,
            engine,
            draw_queue: DrawQueue::new(artist),
            returning,
            watching: Arc::default(),
            small: settings.small,
            frame_interval: Duration::from_secs_f64(1.0 / settings.frame_rate),
            document_updates: settings.document_updates,
            look_limits: LookLimits::new(settings.max_looks, settings.addresses, settings.owner_key),
            replaced,
            drivers,
            stopping,
            ending: CancellationToken::new(),
            unmarked: TaskTracker::new(),
            live: Mutex::default(),
            sweep_at: AtomicUsize::new(settings.max_looks),
            max_looks: settings.max_looks,
            opening: KeyLocks::default(),
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

    /// The number of viewers on this node.
    pub(crate) fn viewers(&self) -> usize {
        self.engine.viewers()
    }

    /// Checks whether the engine would accept another viewer of the counter now.
    ///
    /// # Errors
    /// Fails if a limit of viewers is reached.
    pub(crate) fn has_room(&self, counter: &CounterName) -> Result<(), Rejection> {
        self.engine.has_room(&counter.as_str().into())
    }

    /// The number of a counter's viewers on this node who look without counting.
    pub(crate) fn watching(&self, counter: &CounterName) -> usize {
        self.watching.of(counter)
    }

    /// Viewers who are expected back.
    pub(crate) fn returning(&self) -> &ReturningViewers {
        &self.returning
    }

    /// Where pictures are drawn.
    pub(crate) fn draw_queue(&self) -> &DrawQueue {
        &self.draw_queue
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
        let figure = figure(look, reading, self.small);
        let (picture, _) = self.draw_queue.draw_first(look, &figure, format, owner).await?;
        Ok(picture)
    }

    /// Returns the digits of a look in the style of sprites, for documents. `None` in any other style.
    ///
    /// # Errors
    /// Fails if they cannot be made soon.
    pub(crate) async fn sheet(
        &self,
        look: &Look,
        client_ip: IpAddr,
    ) -> Result<Option<Arc<SpriteSheet>>, DrawQueueFull> {
        match self.draw_queue.artist().set_of(look) {
            Some((name, set)) => self.set_sheet(&name, &set, client_ip).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the digits of a set of sprites.
    ///
    /// # Errors
    /// Fails if they cannot be made soon.
    pub(crate) async fn set_sheet(
        &self,
        name: &SetName,
        set: &SpriteSet,
        client_ip: IpAddr,
    ) -> Result<Arc<SpriteSheet>, DrawQueueFull> {
        self.draw_queue.sheet(name, set, self.look_limits.owner(client_ip)).await
    }

    /// Returns the feed with this key, and opens it if it is not live. If no further look may be opened, or its first picture
    /// cannot be drawn soon, returns the feed of the counter's default look in the same format.
    ///
    /// # Errors
    /// Fails if presence refuses the counter, or if not even the default look can be drawn soon.
    pub(crate) async fn open(self: &Arc<Self>, key: FeedKey, client_ip: IpAddr) -> Result<Arc<Feed>, FeedError> {
        let default = FeedKey { look: Look::default(), ..key.clone() };
        match self.open_exactly(key, client_ip).await {
            Ok(feed) => Ok(feed),
            Err(OpenError::Feed(error)) => Err(error),
            Err(OpenError::Look(refusal)) => {
                self.replaced.get_or_create(&CauseLabel { cause: refusal.into() }).inc();
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
        let _opening = self.opening.lock(&key).await;
        if let Some(live) = self.live.lock().get(&key) {
            return Ok(Arc::clone(&live.feed));
        }
        self.open_new(key.clone(), client_ip).await
    }

    /// Draws what streams end with: from now on, the newest frame of each feed brings the marked picture of its number. Returns
    /// when this is so for all feeds with viewers. Where drawing is costly, that may take long.
    pub(crate) async fn prepare_endings(&self) {
        self.ending.cancel();
        self.unmarked.close();
        self.unmarked.wait().await;
    }

    /// The secret that makes the owners of looks.
    pub(crate) fn owner_key(&self) -> [u64; 2] {
        self.look_limits.owner_key()
    }

    /// Opens a feed again that a former program has handed over. It shows the former picture until another is drawn.
    /// Limits do not apply: its viewers are here.
    ///
    /// # Errors
    /// Fails if it has a look or a format that this program does not know, or if presence refuses the counter.
    pub(crate) fn restore(self: &Arc<Self>, state: &FeedState) -> anyhow::Result<Arc<Feed>> {
        let format = state.format().context("its format is unknown")?;
        let key = FeedKey { counter: state.counter.parse()?, look: Look::from_query(&state.look)?, format };
        let owner = LookOwner::of_number(state.owner);
        let permit = (!key.look.is_default()).then(|| self.look_limits.restore(owner));
        let counter = self.presence.counter(&key.counter)?;
        let readings = counter.watch();
        let reading = *readings.borrow();
        let former = state.picture.clone();
        let (frames, frame) = FeedFrames::resume(&self.draw_queue, &key, self.small, &reading, owner, former);
        Ok(self.start(NewFeed { key, permit, owner, counter, readings, frames, frame }))
    }

    /// Returns what a new program needs to open a feed again.
    pub(crate) fn state_of(feed: &Feed) -> FeedState {
        let (key, newest) = (&feed.key, feed.handle().newest_frame());
        FeedState {
            counter: key.counter.as_str().to_owned(),
            look: key.look.query(),
            format: key.format.name().to_owned(),
            owner: feed.owner.number(),
            picture: FeedFrames::content(key, &newest),
            ending: newest.ending().clone(),
        }
    }

    /// Goes on to wait for a viewer that a former program has waited for.
    ///
    /// # Errors
    /// Fails if presence refuses the counter.
    pub(crate) fn restore_returning(&self, state: ReturningState) -> anyhow::Result<()> {
        let ReturningState { counter, registration, cause, within } = state;
        let counter = counter.parse()?;
        let registration = self.presence.restore(&self.presence.counter(&counter)?, registration);
        self.returning.expect(ExpectedViewer { counter, registration, cause, within });
        Ok(())
    }

    /// Ends all drivers and waits for them. Call once all streams have ended.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.drivers.close();
        self.drivers.wait().await;
    }

    async fn open_new(self: &Arc<Self>, key: FeedKey, client_ip: IpAddr) -> Result<Arc<Feed>, OpenError> {
        // Before anything is drawn: a refusal costs nothing.
        let permit = if key.is_default() {
            self.sweep();
            None
        } else {
            Some(self.look_permit(client_ip)?)
        };
        let owner = self.look_limits.owner(client_ip);
        let counter = self.presence.counter(&key.counter)?;
        let readings = counter.watch();
        let reading = counter.settled().await;
        let frames = FeedFrames::begin(&self.draw_queue, &key, self.small, &reading, owner).await;
        let (frames, frame) = frames.map_err(|full| match key.is_default() {
            true => OpenError::from(full),
            false => OpenError::Look(LookRefusal::Drawing),
        })?;
        Ok(self.start(NewFeed { key, permit, owner, counter, readings, frames, frame }))
    }

    /// Puts a feed into the table and starts its driver.
    fn start(self: &Arc<Self>, new: NewFeed) -> Arc<Feed> {
        let NewFeed { key, permit, owner, counter, readings, frames, frame } = new;
        let settings = key.engine_settings(self.document_updates);
        let handle = (self.engine.open(key.counter.as_str().into(), settings, frame), settings.turn_over);
        let (returning, watching) = (Arc::clone(&self.returning), Arc::clone(&self.watching));
        let feed = Arc::new(Feed::new(key.clone(), owner, counter, handle, returning, watching));
        self.live.lock().insert(key.clone(), LiveFeed { feed: Arc::clone(&feed), permit });
        let driver = FeedDriver::new(feed.handle().clone(), frames, readings, self.unmarked.token());
        let driver = Arc::clone(self).drive(key, Arc::clone(&feed), driver);
        self.drivers.spawn(self.stopping.clone().run_until_cancelled_owned(driver));
        feed
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

    /// Runs a feed's driver until the feed has had no viewers for a while.
    async fn drive(self: Arc<Self>, key: FeedKey, feed: Arc<Feed>, driver: FeedDriver<ViewerAttachment>) {
        tokio::select! {
            () = driver.run(&self.draw_queue, self.frame_interval, &self.ending) => {}
            () = self.unviewed(&key, &feed) => {}
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
