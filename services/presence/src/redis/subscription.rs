//! The connection for messages: one a node, for all of its counters.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::command_connection::Link;
use super::connect::{self, CONNECT_TIMEOUT};
use super::counter_view::Board;
use super::reply::State;
use super::url::RedisUrl;
use crate::metrics::Metrics;

/// Most channels in one SUBSCRIBE: Redis answers each of them by itself.
const CHANNELS_AT_ONCE: usize = 100;

/// Which channels are wanted, and whose they are.
pub(super) struct Subscription {
    url: RedisUrl,
    channels: Mutex<Channels>,
    touched: Notify,
    dead: Notify,
    last_message: Mutex<Instant>,
    link: Arc<Link>,
    metrics: Metrics,
}

#[derive(Default)]
struct Channels {
    /// A counter that was closed and opened again has two boards for a moment.
    boards: HashMap<String, Vec<Weak<Board>>>,
    /// Those whose boards came or went since the subscription was last brought up to date.
    touched: HashSet<String>,
}

impl Subscription {
    pub(super) fn new(url: RedisUrl, link: Arc<Link>, metrics: Metrics) -> Arc<Subscription> {
        Arc::new(Subscription {
            url,
            channels: Mutex::default(),
            touched: Notify::new(),
            dead: Notify::new(),
            last_message: Mutex::new(Instant::now()),
            link,
            metrics,
        })
    }

    /// The board hears what is published on the channel, as long as it lives.
    pub(super) fn add(&self, channel: &str, board: &Arc<Board>) {
        let mut channels = self.channels();
        channels.boards.entry(channel.to_owned()).or_default().push(Arc::downgrade(board));
        channels.touched.insert(channel.to_owned());
        self.touched.notify_one();
    }

    /// The board is not interested any more.
    pub(super) fn remove(&self, channel: &str, board: &Arc<Board>) {
        let mut channels = self.channels();
        if let Some(boards) = channels.boards.get_mut(channel) {
            boards.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(board)));
        }
        channels.touched.insert(channel.to_owned());
        self.touched.notify_one();
    }

    /// Looks after all boards: what nothing confirms, and what has not arrived.
    pub(super) fn tick(&self) {
        let boards = self.all();
        let mut is_dead = false;
        for board in &boards {
            board.tick();
            is_dead |= board.misses_messages();
        }
        if is_dead {
            self.dead.notify_one();
        }
        let age = self.last_message.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        self.metrics.subscription_age.set(if boards.is_empty() { 0.0 } else { age.as_secs_f64() });
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
                    for board in self.all() {
                        board.unsubscribed();
                    }
                    // What ended this connection has often ended the other one too, which nobody would notice before the
                    // next report.
                    self.link.check().await;
                    if since.elapsed() > CONNECT_TIMEOUT {
                        backoff = Backoff::new();
                    }
                }
                Err(error) => tracing::debug!(redis = %self.url, %error, "cannot subscribe"),
            }
            backoff.wait().await;
        }
    }

    /// Until the connection ends, or delivers nothing any more.
    async fn serve(&self, mut sink: PubSubSink, stream: PubSubStream) {
        let mut stream = pin!(stream);
        let mut subscribed = HashSet::new();
        // Death was noticed of the last connection, not of this one.
        let mut dead = pin!(self.dead.notified());
        if futures_util::poll!(&mut dead).is_ready() {
            dead.set(self.dead.notified());
        }
        {
            let mut channels = self.channels();
            channels.touched = channels.boards.keys().cloned().collect();
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

    /// Subscribes to the touched channels that have boards, and from those that have none. `None`: Redis did not answer.
    async fn update(&self, sink: &mut PubSubSink, subscribed: &mut HashSet<String>) -> Option<()> {
        let (wanted, unwanted) = {
            let mut channels = self.channels();
            let touched = std::mem::take(&mut channels.touched);
            let (wanted, unwanted): (Vec<_>, Vec<_>) = touched
                .into_iter()
                .partition(|channel| channels.boards.get(channel).is_some_and(|boards| !boards.is_empty()));
            for channel in &unwanted {
                channels.boards.remove(channel);
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
        for board in self.boards_of(&wanted) {
            board.subscribed();
        }
        Some(())
    }

    fn deliver(&self, channel: &str, message: &[u8]) {
        *self.last_message.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let Some(state) = State::parse(message) else {
            return tracing::warn!(channel, "a message that cannot be read");
        };
        for board in self.boards_of(std::slice::from_ref(&channel.to_owned())) {
            board.delivered(state);
        }
    }

    fn boards_of(&self, channels: &[String]) -> Vec<Arc<Board>> {
        let known = self.channels();
        channels.iter().filter_map(|channel| known.boards.get(channel)).flatten().filter_map(Weak::upgrade).collect()
    }

    fn all(&self) -> Vec<Arc<Board>> {
        self.channels().boards.values().flatten().filter_map(Weak::upgrade).collect()
    }

    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn in_time(answer: impl Future<Output = redis::RedisResult<()>>) -> Option<()> {
    match tokio::time::timeout(CONNECT_TIMEOUT, answer).await {
        Ok(Ok(())) => Some(()),
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot subscribe");
            None
        }
        Err(_) => None,
    }
}
