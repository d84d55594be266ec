//! The connection for messages. A node has one, for all of its counters.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::call_error::CallError;
use super::command_connection::CommandConnection;
use super::connect::{self, CONNECT_TIMEOUT};
use super::counter_view::CounterView;
use super::keys::Prefix;
use super::reply::Message;
use super::shared_keys::{Probe, SharedKeys};
use super::url::RedisUrl;
use crate::metrics::Metrics;
use crate::settings::Timing;

/// Most channels in one SUBSCRIBE: Redis replies to each of them separately.
const CHANNELS_AT_ONCE: usize = 100;

/// Without a subscription, each counter is read at this interval: only replies tell what has changed.
const POLL: Duration = Duration::from_secs(1);

/// The same of many counters: at most a thousand reads a second, a fiftieth of Redis's processor.
const POLL_OF_EACH: Duration = Duration::from_millis(1);

/// A node publishes a probe up to this part of its interval later, at random. With the rest, less than the time after which the
/// shared keys are read without one.
const PROBE_SPREAD: f64 = 0.3;

/// The random times are distributed so that most are late, and in each eighth of the spread end e times as many as in the one
/// before: of a thousand nodes only two or three publish before they hear each other, though a message takes 100 ms.
const PROBE_STEEPNESS: f64 = 8.0;

/// The channels of this node's counters, and the views that their messages go to.
pub(super) struct Subscription {
    url: RedisUrl,
    prefix: Prefix,
    probe_channel: String,
    /// This node's id.
    node: String,
    timing: Timing,
    channels: Mutex<Channels>,
    /// Signalled when `Channels::touched` has changed.
    touched: Notify,
    /// Signalled when the subscription delivers nothing.
    dead: Notify,
    last_message: Mutex<Instant>,
    /// The shared keys in the last probe of any node.
    heard: watch::Sender<SharedKeys>,
    /// The last of this node's own probes that was delivered.
    own_delivered: AtomicU64,
    /// Why there is no subscription, as it was logged.
    problem: Mutex<Option<String>>,
    commands: Arc<CommandConnection>,
    metrics: Metrics,
}

#[derive(Default)]
struct Channels {
    /// A counter that was closed and opened again has two views for a short time. Every channel here has a view.
    views: HashMap<String, Vec<Weak<CounterView>>>,
    /// Whether there is a connection. One that opens subscribes to all channels.
    is_open: bool,
    /// Since when probes are delivered.
    probed_since: Option<Instant>,
    /// Channels that have gained or lost a view since the last [`update`](Subscription::update), while there is a
    /// connection.
    touched: HashSet<String>,
}

impl Channels {
    fn touch(&mut self, channel: &str) {
        if self.is_open {
            self.touched.insert(channel.to_owned());
        }
    }

    /// A connection opens or ends.
    fn set_open(&mut self, is_open: bool) {
        self.is_open = is_open;
        self.probed_since = None;
        self.touched = if is_open { self.views.keys().cloned().collect() } else { HashSet::new() };
    }
}

impl Subscription {
    /// The subscription of the node with this id.
    pub(super) fn new(
        url: RedisUrl,
        prefix: Prefix,
        node: String,
        timing: Timing,
        commands: Arc<CommandConnection>,
        metrics: Metrics,
    ) -> Arc<Subscription> {
        Arc::new(Subscription {
            url,
            probe_channel: prefix.probe_channel(),
            prefix,
            node,
            timing,
            channels: Mutex::default(),
            touched: Notify::new(),
            dead: Notify::new(),
            last_message: Mutex::new(Instant::now()),
            heard: watch::Sender::default(),
            own_delivered: AtomicU64::new(0),
            problem: Mutex::default(),
            commands,
            metrics,
        })
    }

    /// Delivers the channel's messages to the view, until it is removed or dropped.
    pub(super) fn add(&self, channel: &str, view: &Arc<CounterView>) {
        let mut channels = self.channels.lock();
        channels.views.entry(channel.to_owned()).or_default().push(Arc::downgrade(view));
        channels.touch(channel);
        self.touched.notify_one();
    }

    /// Delivers no more messages to the view.
    pub(super) fn remove(&self, channel: &str, view: &Arc<CounterView>) {
        let mut channels = self.channels.lock();
        if let Some(views) = channels.views.get_mut(channel) {
            views.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(view)));
            if views.is_empty() {
                channels.views.remove(channel);
            }
        }
        channels.touch(channel);
        self.touched.notify_one();
    }

    /// Replaces the subscription: it does not deliver what it should.
    pub(super) fn is_dead(&self) {
        self.dead.notify_one();
    }

    /// Publishes a probe until cancelled, whenever no node has done so for a while or the other connection is a new one, and
    /// replaces a subscription that does not deliver it: where nothing changes, nothing else tells that it is dead.
    pub(super) async fn probe(&self) {
        let mut heard = self.heard.subscribe();
        for number in 1.. {
            let late = (1.0 + rand::random::<f64>() * (PROBE_STEEPNESS.exp() - 1.0)).ln() / PROBE_STEEPNESS;
            let patience = self.timing.probe().mul_f64(1.0 + PROBE_SPREAD * late);
            loop {
                tokio::select! {
                    heard = timeout(patience, heard.changed()) => {
                        if heard.is_err() {
                            break;
                        }
                        self.note_age();
                    }
                    () = self.commands.replaced() => break,
                }
            }
            let since = self.channels.lock().probed_since;
            if since.is_some() && self.publish_probe(number).await.is_ok() {
                sleep(self.timing.response_timeout).await;
                let is_delivered = self.own_delivered.load(Ordering::Relaxed) == number;
                if !is_delivered && self.channels.lock().probed_since == since {
                    self.is_dead();
                }
            }
            self.note_age();
        }
    }

    async fn publish_probe(&self, number: u64) -> Result<(), CallError> {
        let shared = SharedKeys::read(&self.commands, &self.prefix, &self.timing).await?;
        let probe = Probe { node: &self.node, number, shared };
        self.commands.query(redis::cmd("PUBLISH").arg(&self.probe_channel).arg(probe.message())).await.map(drop)
    }

    /// Waits until a node says that a shared key is another one than `is_known` knows, or none says anything for so long.
    pub(super) async fn until_doubt(&self, time: Duration, is_known: impl Fn(&SharedKeys) -> bool) {
        let mut heard = self.heard.subscribe();
        while let Ok(Ok(())) = timeout(time, heard.changed()).await {
            if !is_known(&heard.borrow_and_update()) {
                return;
            }
        }
    }

    fn note_age(&self) {
        let is_empty = self.channels.lock().views.is_empty();
        let age = if is_empty { Duration::ZERO } else { self.last_message.lock().elapsed() };
        self.metrics.subscription_age.set(age.as_secs_f64());
    }

    /// Keeps a subscription open until cancelled.
    pub(super) async fn run(&self) {
        let mut backoff = Backoff::new();
        let mut is_first = true;
        loop {
            match connect::open_subscriber(&self.url).await {
                Ok(subscriber) => {
                    if !std::mem::replace(&mut is_first, false) {
                        self.metrics.resubscriptions.inc();
                    }
                    let (sink, stream) = subscriber.split();
                    let since = Instant::now();
                    self.serve(sink, stream).await;
                    self.channels.lock().set_open(false);
                    for view in self.all_views() {
                        view.unsubscribed();
                    }
                    // The other connection has often ended as well, which only a call detects.
                    self.commands.ping().await;
                    if since.elapsed() > CONNECT_TIMEOUT {
                        backoff = Backoff::new();
                    }
                }
                Err(error) => self.failed(error.to_string()),
            }
            backoff.wait().await;
        }
    }

    /// Logs why there is no subscription: each new reason once, and only if commands are answered, or that is said already.
    fn failed(&self, error: String) {
        let mut problem = self.problem.lock();
        if problem.as_ref() != Some(&error) && self.commands.is_connected() {
            tracing::warn!(redis = %self.url, error, "cannot subscribe: each counter is read instead");
            *problem = Some(error);
        }
    }

    /// The interval at which a counter without a subscription is to be read.
    pub(super) fn poll_interval(&self) -> Duration {
        let counters = u32::try_from(self.channels.lock().views.len()).unwrap_or(u32::MAX);
        POLL.max(POLL_OF_EACH.saturating_mul(counters))
    }

    /// Delivers messages until the connection ends, or delivers nothing.
    async fn serve(&self, mut sink: PubSubSink, stream: PubSubStream) {
        let mut stream = pin!(stream);
        let mut subscribed = HashSet::new();
        // A signal that is left over was about the last connection.
        let mut dead = pin!(self.dead.notified());
        if futures_util::poll!(&mut dead).is_ready() {
            dead.set(self.dead.notified());
        }
        self.channels.lock().set_open(true);
        if self.in_time(sink.subscribe(&self.probe_channel)).await.is_none() {
            return;
        }
        self.channels.lock().probed_since = Some(Instant::now());
        if self.update(&mut sink, &mut subscribed).await.is_none() {
            return;
        }
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(message) => self.deliver(message.get_channel_name(), message.get_payload_bytes()),
                    None => return tracing::warn!(redis = %self.url, "the subscription has ended"),
                },
                () = self.touched.notified() => {
                    if self.update(&mut sink, &mut subscribed).await.is_none() {
                        return;
                    }
                }
                () = &mut dead => {
                    self.metrics.dead_subscriptions.inc();
                    return tracing::warn!(redis = %self.url, "the subscription delivers nothing: replaced");
                }
            }
        }
    }

    /// Subscribes to the touched channels that have views, and unsubscribes from those that have none. `None` if Redis
    /// does not answer.
    async fn update(&self, sink: &mut PubSubSink, subscribed: &mut HashSet<String>) -> Option<()> {
        let (wanted, unwanted) = {
            let mut channels = self.channels.lock();
            let touched = std::mem::take(&mut channels.touched);
            touched.into_iter().partition::<Vec<_>, _>(|channel| channels.views.contains_key(channel))
        };
        let unwanted: Vec<_> = unwanted.into_iter().filter(|channel| subscribed.remove(channel)).collect();
        for channels in unwanted.chunks(CHANNELS_AT_ONCE) {
            self.in_time(sink.unsubscribe(channels)).await?;
        }
        let new: Vec<_> = wanted.iter().filter(|channel| subscribed.insert(String::clone(channel))).cloned().collect();
        for channels in new.chunks(CHANNELS_AT_ONCE) {
            self.in_time(sink.subscribe(channels)).await?;
        }
        *self.problem.lock() = None;
        for view in self.views_of(&wanted) {
            view.subscribed();
        }
        Some(())
    }

    async fn in_time(&self, reply: impl Future<Output = redis::RedisResult<()>>) -> Option<()> {
        match timeout(CONNECT_TIMEOUT, reply).await {
            Ok(Ok(())) => return Some(()),
            Ok(Err(error)) => self.failed(error.to_string()),
            Err(_) => self.failed(format!("no answer within {CONNECT_TIMEOUT:?}")),
        }
        None
    }

    fn deliver(&self, channel: &str, message: &[u8]) {
        *self.last_message.lock() = Instant::now();
        if channel == self.probe_channel {
            let Some(Probe { node, number, shared }) = Probe::parse(message) else {
                return tracing::warn!(channel, "a message of unknown form");
            };
            if node == self.node {
                self.own_delivered.store(number, Ordering::Relaxed);
            }
            self.heard.send_replace(shared);
            return;
        }
        let Some(message) = Message::parse(message) else {
            return tracing::warn!(channel, "a message of unknown form");
        };
        for view in self.views_of(std::slice::from_ref(&channel.to_owned())) {
            view.message_received(message);
        }
    }

    fn views_of(&self, channels: &[String]) -> Vec<Arc<CounterView>> {
        let known = self.channels.lock();
        channels.iter().filter_map(|channel| known.views.get(channel)).flatten().filter_map(Weak::upgrade).collect()
    }

    fn all_views(&self) -> Vec<Arc<CounterView>> {
        self.channels.lock().views.values().flatten().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::local_viewers::LocalViewers;
    use crate::versions::Versions;
    use crate::{CounterName, Health};

    #[tokio::test]
    async fn without_a_connection_closed_counters_leave_nothing_behind() {
        let url = RedisUrl::parse("redis://127.0.0.1:1").unwrap();
        let health = watch::Sender::new(Health::Starting);
        let metrics = Metrics::default();
        let commands = CommandConnection::new(url.clone(), Duration::from_secs(1), health, metrics.clone());
        let (prefix, node) = (Prefix("hc:".to_owned()), "node".to_owned());
        let subscription = Subscription::new(url, prefix, node, Timing::default(), commands, metrics.clone());
        for number in 0..100 {
            let name = CounterName::parse(&format!("c{number}")).unwrap();
            let local_viewers = Arc::new(LocalViewers::reported(name, Arc::new(Versions::new(0)), metrics.clone()));
            let view = CounterView::new(
                local_viewers,
                Timing::default(),
                metrics.clone(),
                super::super::counter_view::Known::default(),
            );
            subscription.add(&format!("c{number}"), &view);
            subscription.remove(&format!("c{number}"), &view);
        }
        let channels = subscription.channels.lock();
        assert_eq!((channels.views.len(), channels.touched.len()), (0, 0));
    }
}
