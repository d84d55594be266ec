//! The engine's public interface: starts the shards, opens feeds, and drains all viewers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use crate::feed_state::{FeedState, Inboxes};
use crate::inbox::DrainOrder;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::shard::Shard;
use crate::viewer_limits::{FeedLoad, ViewerLimits};
use crate::{Attachment, FeedHandle, FeedLabel, FeedSettings, Frame, HeldViewer, Rejection, Settings};

/// Owns the viewers of a node. Clones are handles of the same engine. When the last is dropped, the shards stop and the
/// remaining connections are closed without an ending; [`drain`](Self::drain) ends them cleanly.
pub struct Engine<A>(Arc<Core<A>>);

struct Core<A> {
    settings: Settings,
    inboxes: Inboxes<A>,
    limits: Arc<ViewerLimits>,
    metrics: Metrics,
    next_feed: AtomicU64,
}

impl<A> Drop for Core<A> {
    fn drop(&mut self) {
        self.inboxes.iter().for_each(|inbox| inbox.engine_dropped());
    }
}

impl<A: Attachment> Engine<A> {
    /// Starts the shards.
    ///
    /// # Errors
    /// Fails if the system provides no thread or no poller.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let limits = ViewerLimits::new(&settings);
        let metrics = Metrics::new(Arc::clone(&limits));
        let shards = (0..settings.shards.max(1))
            .map(|index| Shard::new(index, &settings, &metrics))
            .collect::<io::Result<Vec<_>>>()?;
        let inboxes: Inboxes<A> = shards.iter().map(Shard::inbox).collect();
        let core = Core { settings, inboxes, limits, metrics, next_feed: AtomicU64::new(0) };
        for (index, shard) in shards.into_iter().enumerate() {
            thread::Builder::new().name(format!("shard-{index}")).spawn(move || shard.run())?;
        }
        Ok(Self(Arc::new(core)))
    }

    /// Opens a feed. Its viewers count under `label` and see `first` until another frame is published.
    pub fn open(&self, label: FeedLabel, feed: FeedSettings, first: Frame) -> FeedHandle<A> {
        let Core { settings, inboxes, limits, next_feed, .. } = &*self.0;
        let id = next_feed.fetch_add(1, Ordering::Relaxed);
        let load = FeedLoad::new(limits.counter(label));
        let pace = Pace::new(settings.frame_rate.min(feed.max_frame_rate), feed.burst, rand::random(), Instant::now());
        let state = FeedState::new(id, load, Arc::clone(inboxes), pace, feed.turn_over, first);
        FeedHandle::new(state, settings.keepalive, settings.stall_limit)
    }

    /// Checks whether a viewer under `label` would be accepted now, while the caller can still answer with an HTTP status.
    ///
    /// # Errors
    /// [`Rejection::Full`] or [`Rejection::CounterFull`]. `Ok` reserves nothing: another viewer may come first.
    pub fn has_room(&self, label: &FeedLabel) -> Result<(), Rejection> {
        self.0.limits.check(label)
    }

    /// Ends all viewers, evenly spread over `spread`: each receives the [ending](Frame::ending) of its feed's newest frame and a
    /// FIN. New viewers are rejected from now on.
    ///
    /// Returns when all viewers have left. A viewer that does not read its ending is disconnected two seconds after
    /// `spread`. A second call during a drain can only shorten it.
    pub async fn drain(&self, spread: Duration) {
        let (done, mut all_done) = mpsc::channel(1);
        for inbox in self.0.inboxes.iter() {
            inbox.drain(DrainOrder { spread, done: done.clone() });
        }
        drop(done);
        // Nothing is sent: the channel closes when the last shard drops its sender.
        all_done.recv().await;
    }

    /// Takes all viewers out of the engine, each between two writes, and stops the shards. Newcomers who wait are sent their
    /// first frame before. New viewers are rejected from now on.
    ///
    /// Viewers whose stream is ending are not among them: they are disconnected.
    pub async fn hold_viewers(&self) -> Vec<HeldViewer<A>> {
        let (to, mut held) = mpsc::channel(self.0.inboxes.len());
        for inbox in self.0.inboxes.iter() {
            inbox.hold(to.clone());
        }
        drop(to);
        let mut viewers = Vec::with_capacity(self.viewers());
        while let Some(of_shard) = held.recv().await {
            viewers.extend(of_shard);
        }
        viewers
    }

    /// Registers the engine's metrics. Their names carry no prefix.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
    }

    /// The number of shards that are alive: fewer than [`Settings::shards`] if some have panicked. Without any, every viewer
    /// is rejected.
    pub fn live_shards(&self) -> usize {
        self.0.inboxes.iter().filter(|inbox| !inbox.shard_has_stopped()).count()
    }

    /// The number of viewers, including those not yet added by a shard and all [`ViewerPermit`](crate::ViewerPermit)s.
    pub fn viewers(&self) -> usize {
        self.0.limits.viewers()
    }
}

impl<A> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
