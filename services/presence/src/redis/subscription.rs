//! The connection for messages. A node has one, for all of its counters.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::command_connection::CommandConnection;
use super::connect::{self, CONNECT_TIMEOUT};
use super::counter_view::CounterView;
use super::reply::Message;
use super::url::RedisUrl;
use crate::metrics::Metrics;
use crate::settings::Timing;

/// Most channels in one SUBSCRIBE: Redis replies to each of them separately.
const CHANNELS_AT_ONCE: usize = 100;

/// Without a subscription, each counter is read at this interval: only replies tell what has changed.
const POLL: Duration = Duration::from_secs(1);

/// The same of many counters: at most a thousand reads a second, a fiftieth of Redis's processor.
const POLL_OF_EACH: Duration = Duration::from_millis(1);

/// The channels of this node's counters, and the views that their messages go to.
pub(super) struct Subscription {
    url: RedisUrl,
    /// The channel of this node's messages to itself.
    own_channel: String,
    timing: Timing,
    channels: Mutex<Channels>,
    /// Signalled when `Channels::touched` has changed.
    touched: Notify,
    /// Signalled when the subscription delivers nothing.
    dead: Notify,
    last_message: Mutex<Instant>,
    /// The newest of this node's messages to itself that was delivered.
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
    /// Since when messages to this node itself are delivered.
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
    /// `own_channel` is the channel of the node's messages to itself.
    pub(super) fn new(
        url: RedisUrl,
        own_channel: String,
        timing: Timing,
        commands: Arc<CommandConnection>,
        metrics: Metrics,
    ) -> Arc<Subscription> {
        Arc::new(Subscription {
            url,
            own_channel,
            timing,
            channels: Mutex::default(),
            touched: Notify::new(),
            dead: Notify::new(),
            last_message: Mutex::new(Instant::now()),
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

    /// Publishes messages to this node itself until cancelled, and replaces a subscription that does not deliver them:
    /// where nothing changes, nothing else tells that it is dead.
    pub(super) async fn probe(&self) {
        for number in 1.. {
            sleep(self.timing.probe()).await;
            let since = self.channels.lock().probed_since;
            let mut command = redis::cmd("PUBLISH");
            command.arg(&self.own_channel).arg(number);
            if since.is_some() && self.commands.query(&command).await.is_ok() {
                sleep(self.timing.response_timeout).await;
                let is_delivered = self.own_delivered.load(Ordering::Relaxed) >= number;
                if !is_delivered && self.channels.lock().probed_since == since {
                    self.is_dead();
                }
            }
            let age =
                if self.channels.lock().views.is_empty() { Duration::ZERO } else { self.last_message.lock().elapsed() };
            self.metrics.subscription_age.set(age.as_secs_f64());
        }
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
        if self.in_time(sink.subscribe(&self.own_channel)).await.is_none() {
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
        match tokio::time::timeout(CONNECT_TIMEOUT, reply).await {
            Ok(Ok(())) => return Some(()),
            Ok(Err(error)) => self.failed(error.to_string()),
            Err(_) => self.failed(format!("no answer within {CONNECT_TIMEOUT:?}")),
        }
        None
    }

    fn deliver(&self, channel: &str, message: &[u8]) {
        *self.last_message.lock() = Instant::now();
        if channel == self.own_channel {
            let number = std::str::from_utf8(message).ok().and_then(|number| number.parse().ok());
            return self.own_delivered.store(number.unwrap_or(0), Ordering::Relaxed);
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
        let subscription = Subscription::new(url, "node".to_owned(), Timing::default(), commands, metrics.clone());
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
