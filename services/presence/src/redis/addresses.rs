//! The limits of client addresses over all nodes: asks Redis about each stream that the node's own limiter has
//! admitted, and reports departures.
//!
//! Redis knows an address by a keyed hash, and forgets it with the lease of the last node that has streams of it. Only
//! addresses with several streams are reported again while nothing changes, many in one call, so a million viewers from a million
//! addresses cost nothing. A node's single stream of an address is therefore forgotten after a lease, unless other
//! nodes have some too: an address that opens one stream at each node, a lease apart, gets one more than its limit for
//! each node after the first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{TryStreamExt, stream};
use redis::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::call_error::CallError;
use super::node::Node;
use super::scripts::RequestedStream;
use crate::address_limiter::{AddressLimiter, Decision};
use crate::metrics::DecidedBy;
use crate::network::Network;
use crate::viewer_id::ViewerId;
use crate::{AdmissionError, CounterName};

/// Departures are collected for this time: a browser that closes a page with several pictures ends several streams.
const COLLECT: Duration = Duration::from_millis(20);

/// Most calls in flight.
const CALLS_AT_ONCE: usize = 32;

/// Addresses that are reported again in one call: half a millisecond of Redis's time. After that the reports pause for as long
/// as they took.
const BATCH: usize = 256;

/// The time between two attempts to report crowded addresses.
const RETRY: Duration = Duration::from_millis(500);

/// The heartbeat of crowded addresses comes up to this part of its interval earlier, at random, so that nodes do not
/// fall in step.
const JITTER: f64 = 0.1;

/// Asks Redis about client addresses, and keeps it up to date.
pub(super) struct RedisAddressLimiter {
    node: Arc<Node>,
    limiter: Arc<AddressLimiter>,
}

/// The reply of the address script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddressReply {
    pub(super) verdict: Verdict,
    /// Streams of other nodes.
    pub(super) elsewhere: u64,
    /// Redis's clock, in microseconds.
    pub(super) now: u64,
    /// Fields of the address's key.
    pub(super) fields: u64,
}

/// Whether another stream is within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Within,
    TooFast,
    TooManyOfCounter,
    TooMany,
}

impl AddressReply {
    /// Parses a reply. `None` if it has another form.
    pub(super) fn parse(value: Value) -> Option<AddressReply> {
        let Value::Array(values) = value else { return None };
        let [Value::Int(verdict), Value::Int(elsewhere), Value::Int(now), Value::Int(fields)] = values[..] else {
            return None;
        };
        let verdict = match verdict {
            0 => Verdict::Within,
            1 => Verdict::TooFast,
            2 => Verdict::TooManyOfCounter,
            3 => Verdict::TooMany,
            _ => return None,
        };
        let [elsewhere, now, fields] = [elsewhere, now, fields].map(|number| u64::try_from(number).ok());
        Some(AddressReply { verdict, elsewhere: elsewhere?, now: now?, fields: fields? })
    }
}

impl RedisAddressLimiter {
    /// Starts the tasks that report departures and crowded addresses. `departures` are those that a former process has
    /// left.
    pub(super) fn start(
        node: Arc<Node>,
        limiter: Arc<AddressLimiter>,
        departures: Vec<(Network, ViewerId)>,
    ) -> Arc<RedisAddressLimiter> {
        limiter.record_departures(departures);
        let addresses = Arc::new(RedisAddressLimiter { node, limiter });
        let reporting = Arc::clone(&addresses);
        addresses.node.spawn_until_pause(async move { reporting.report_departures().await });
        let reporting = Arc::clone(&addresses);
        addresses.node.spawn_background(async move { reporting.report_crowded().await });
        addresses
    }

    /// Asks Redis about a stream that the node's own limiter has admitted. If Redis does not answer, the stream stays
    /// admitted: at once without a connection, otherwise after a response timeout. Two timeouts in a row end the
    /// connection.
    pub(super) async fn admit(
        &self,
        network: Network,
        viewer: ViewerId,
        counter: &CounterName,
    ) -> Result<(), AdmissionError> {
        let AddressLimiter { limits, .. } = &*self.limiter;
        let requested = RequestedStream { viewer, counter };
        let key = self.key_of(network).filter(|_| self.node.commands.is_expected_to_answer());
        let reply = match key {
            Some(key) => self.call(&key, network, Some(requested)).await.ok(),
            None => None,
        };
        let Some(AddressReply { verdict, elsewhere, .. }) = reply else {
            // `elsewhere`: reported as a crowded address as soon as Redis is back.
            self.limiter.decide(network, viewer, Decision::Admitted, true);
            self.node.metrics.admitted(DecidedBy::Alone);
            return Ok(());
        };
        let error = match verdict {
            Verdict::Within => {
                self.limiter.decide(network, viewer, Decision::Admitted, elsewhere > 0);
                self.node.metrics.admitted(DecidedBy::Everybody);
                return Ok(());
            }
            Verdict::TooFast => AdmissionError::TooFast,
            Verdict::TooManyOfCounter => AdmissionError::TooManyOfCounter { limit: limits.per_counter },
            Verdict::TooMany => AdmissionError::TooManyInAll { limit: limits.in_all },
        };
        self.limiter.decide(network, viewer, Decision::Rejected, elsewhere > 0);
        Err(error)
    }

    /// Reports this node's streams of the address, and may request another one.
    async fn call(
        &self,
        key: &str,
        network: Network,
        requested: Option<RequestedStream<'_>>,
    ) -> Result<AddressReply, CallError> {
        let streams = self.limiter.streams_of(network);
        let call = self.node.scripts.address(key, &self.node.id, &self.limiter.limits, &streams, requested);
        self.node.commands.call_as(&call, AddressReply::parse).await
    }

    /// The address's key in Redis. `None` while the key of its hash is not shared with the other nodes.
    fn key_of(&self, network: Network) -> Option<String> {
        let current = *self.node.visitor_key.borrow();
        current.is_shared.then(|| self.node.prefix.address(current.key.address(network)))
    }

    /// Reports departures until the node ends its leases, and then the last ones.
    async fn report_departures(&self) {
        // Those that a former process has left need the first connection.
        let _ = timeout(self.node.timing.response_timeout, self.node.commands.connected()).await;
        while self.node.releasing.run_until_cancelled(self.limiter.departed.notified()).await.is_some() {
            sleep(COLLECT).await;
            self.remove_departed().await;
        }
        self.remove_departed().await;
    }

    /// Removes streams that have ended from Redis. Gives up when Redis does not answer: the leases run out. If this is
    /// dropped meanwhile, a new process does it again.
    async fn remove_departed(&self) {
        let departures = self.limiter.departures();
        if self.node.commands.is_connected() {
            self.remove(&departures).await;
        }
        self.limiter.forget_departures(departures.len());
    }

    async fn remove(&self, departures: &[(Network, ViewerId)]) {
        let mut by_network: HashMap<_, Vec<_>> = HashMap::new();
        for &(network, viewer) in departures {
            by_network.entry(network).or_default().push(viewer);
        }
        let calls = stream::iter(by_network.into_iter().map(Ok::<_, CallError>)).try_for_each_concurrent(
            CALLS_AT_ONCE,
            |(network, viewers)| async move {
                let Some(key) = self.key_of(network) else { return Ok(()) };
                let command = self.node.scripts.remove_streams(&key, &self.node.id, &viewers);
                self.node.commands.query(&command).await.map(drop)
            },
        );
        if let Err(error) = calls.await {
            tracing::debug!(%error, "streams that have ended count for their address until its lease ends");
        }
    }

    /// Reports the addresses that have several streams: at every heartbeat, and at once when Redis has lost data or the
    /// addresses have new hashes. Begins when a former process's streams are restored: a report of some of them would
    /// remove the others.
    async fn report_crowded(&self) {
        let node = &self.node;
        node.restored.cancelled().await;
        let (mut data_losses, mut key) = (node.data_losses.subscribe(), node.visitor_key.subscribe());
        loop {
            let next = Instant::now() + node.timing.address_heartbeat().mul_f64(1.0 - rand::random_range(0.0..JITTER));
            data_losses.mark_unchanged();
            key.mark_unchanged();
            while self.report_all_crowded().await.is_err() {
                sleep(RETRY).await;
                node.commands.connected().await;
            }
            tokio::select! {
                () = sleep_until(next) => {}
                // The senders are the node's own, so neither fails.
                _ = data_losses.changed() => {}
                _ = key.changed() => {}
            }
        }
    }

    /// Stops when Redis does not answer.
    async fn report_all_crowded(&self) -> Result<(), CallError> {
        for crowded in self.limiter.crowded().chunks(BATCH) {
            let started = Instant::now();
            let networks = self.renew(crowded).await?;
            let calls = stream::iter(networks.into_iter().map(Ok::<_, CallError>)).try_for_each_concurrent(
                CALLS_AT_ONCE,
                |network| async move {
                    let Some(key) = self.key_of(network) else { return Ok(()) };
                    // The streams of this moment: later departures are sent after this call.
                    let reply = self.call(&key, network, None).await?;
                    self.limiter.set_elsewhere(network, reply.elsewhere > 0, reply.fields);
                    Ok(())
                },
            );
            calls.await?;
            sleep(started.elapsed()).await;
        }
        Ok(())
    }

    /// Prolongs these addresses' streams in one call, each with the number of fields that its key had. Returns those that have
    /// changed, or are lost: they are to be reported. In a cluster that is all of them, because their keys are in different
    /// slots.
    async fn renew(&self, crowded: &[(Network, u64)]) -> Result<Vec<Network>, CallError> {
        let keys: Option<Vec<_>> = crowded.iter().map(|(network, _)| self.key_of(*network)).collect();
        let Some(keys) = keys.filter(|_| !self.node.commands.is_cluster()) else {
            return Ok(crowded.iter().map(|(network, _)| *network).collect());
        };
        let call = self.node.scripts.renew_addresses(keys, &self.node.id);
        let fields = self.node.commands.call_as(&call, |value| redis::from_redis_value::<Vec<i64>>(value).ok()).await?;
        let changed = crowded.iter().zip(fields).filter(|((_, known), fields)| u64::try_from(*fields) != Ok(*known));
        Ok(changed.map(|((network, _), _)| *network).collect())
    }
}
