//! The connection for messages. A node has one, for all of its counters.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Weak};

use futures_util::StreamExt;
use parking_lot::Mutex;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::command_connection::CommandConnection;
use super::connect::{self, CONNECT_TIMEOUT};
use super::counter_view::CounterView;
use super::reply::Message;
use super::url::RedisUrl;
use crate::metrics::Metrics;

/// Most channels in one SUBSCRIBE: Redis replies to each of them separately.
const CHANNELS_AT_ONCE: usize = 100;

/// The channels of this node's counters, and the views that their messages go to.
pub(super) struct Subscription {
    url: RedisUrl,
    channels: Mutex<Channels>,
    /// Signalled when `Channels::touched` has changed.
    touched: Notify,
    /// Signalled when the subscription delivers nothing.
    dead: Notify,
    last_message: Mutex<Instant>,
    commands: Arc<CommandConnection>,
    metrics: Metrics,
}

#[derive(Default)]
struct Channels {
    /// A counter that was closed and opened again has two views for a short time.
    views: HashMap<String, Vec<Weak<CounterView>>>,
    /// Channels that have gained or lost a view since the last [`update`](Subscription::update).
    touched: HashSet<String>,
}

impl Subscription {
    pub(super) fn new(url: RedisUrl, commands: Arc<CommandConnection>, metrics: Metrics) -> Arc<Subscription> {
        Arc::new(Subscription {
            url,
            channels: Mutex::default(),
            touched: Notify::new(),
            dead: Notify::new(),
            last_message: Mutex::new(Instant::now()),
            commands,
            metrics,
        })
    }

    /// Delivers the channel's messages to the view, until it is removed or dropped.
    pub(super) fn add(&self, channel: &str, view: &Arc<CounterView>) {
        let mut channels = self.channels.lock();
        channels.views.entry(channel.to_owned()).or_default().push(Arc::downgrade(view));
        channels.touched.insert(channel.to_owned());
        self.touched.notify_one();
    }

    /// Delivers no more messages to the view.
    pub(super) fn remove(&self, channel: &str, view: &Arc<CounterView>) {
        let mut channels = self.channels.lock();
        if let Some(views) = channels.views.get_mut(channel) {
            views.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(view)));
        }
        channels.touched.insert(channel.to_owned());
        self.touched.notify_one();
    }

    /// Called regularly: checks all views for stale readings and missing messages.
    pub(super) fn tick(&self) {
        let views = self.all_views();
        let mut is_dead = false;
        for view in &views {
            view.tick();
            is_dead |= view.misses_messages();
        }
        if is_dead {
            self.dead.notify_one();
        }
        let age = self.last_message.lock().elapsed();
        self.metrics.subscription_age.set(if views.is_empty() { 0.0 } else { age.as_secs_f64() });
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
                    for view in self.all_views() {
                        view.unsubscribed();
                    }
                    // The other connection has often ended as well, which only a call detects.
                    self.commands.ping().await;
                    if since.elapsed() > CONNECT_TIMEOUT {
                        backoff = Backoff::new();
                    }
                }
                Err(error) => tracing::debug!(redis = %self.url, %error, "cannot subscribe"),
            }
            backoff.wait().await;
        }
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
        {
            let mut channels = self.channels.lock();
            channels.touched = channels.views.keys().cloned().collect();
        }
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
            let (wanted, unwanted): (Vec<_>, Vec<_>) = touched
                .into_iter()
                .partition(|channel| channels.views.get(channel).is_some_and(|views| !views.is_empty()));
            for channel in &unwanted {
                channels.views.remove(channel);
            }
            (wanted, unwanted)
        };
        let unwanted: Vec<_> = unwanted.into_iter().filter(|channel| subscribed.remove(channel)).collect();
        for channels in unwanted.chunks(CHANNELS_AT_ONCE) {
            in_time(sink.unsubscribe(channels)).await?;
        }
        let new: Vec<_> = wanted.iter().filter(|channel| subscribed.insert(String::clone(channel))).cloned().collect();
        for channels in new.chunks(CHANNELS_AT_ONCE) {
            in_time(sink.subscribe(channels)).await?;
        }
        for view in self.views_of(&wanted) {
            view.subscribed();
        }
        Some(())
    }

    fn deliver(&self, channel: &str, message: &[u8]) {
        *self.last_message.lock() = Instant::now();
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

async fn in_time(reply: impl Future<Output = redis::RedisResult<()>>) -> Option<()> {
    match tokio::time::timeout(CONNECT_TIMEOUT, reply).await {
        Ok(Ok(())) => Some(()),
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot subscribe");
            None
        }
        Err(_) => None,
    }
}
