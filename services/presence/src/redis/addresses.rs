//! The limits of client addresses over all nodes: asks Redis about each stream that the node's own [`AddressLimiter`] would let in,
//! and tells it who has left.
//!
//! Redis knows an address by a keyed hash, and forgets it with the lease of the last node that has streams of it. Only an
//! address that has several streams is told of again while nothing changes: a million viewers from a million addresses cost
//! nothing. So a node's single stream of an address is forgotten after a lease, unless there are others elsewhere: an
//! address that opens one stream at each node, a lease apart, has one more than its limit for each node after the first.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{TryStreamExt, stream};
use redis::Value;
use tokio::time::{Instant, sleep};

use super::Node;
use super::call_error::CallError;
use super::scripts::Asked;
use crate::address_limiter::{AddressLimiter, Decision};
use crate::local_viewers::ViewerId;
use crate::metrics::DecidedBy;
use crate::network::Network;
use crate::{AdmissionError, CounterName};

/// Leaves are gathered for this time: a browser that closes a page with several pictures leaves as often.
const GATHER: Duration = Duration::from_millis(20);

/// Calls that are on their way at a time.
const CALLS_AT_ONCE: usize = 32;

/// Addresses that are told of again in a row, before Redis is left to others for as long as they took.
const TOLD_IN_A_ROW: usize = 256;

/// The time between two attempts to tell of them.
const RETRY: Duration = Duration::from_millis(500);

/// What Redis says about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// Streams that other nodes have.
    pub(super) elsewhere: u64,
    /// Redis's clock, in microseconds.
    pub(super) now: u64,
}

/// Whether another stream is within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Within,
    TooFast,
    TooManyOfCounter,
    TooMany,
}

impl Answer {
    pub(super) fn parse(value: Value) -> Option<Answer> {
        let Value::Array(values) = value else { return None };
        let [Value::Int(verdict), Value::Int(elsewhere), Value::Int(now)] = values[..] else { return None };
        let verdict = match verdict {
            0 => Verdict::Within,
            1 => Verdict::TooFast,
            2 => Verdict::TooManyOfCounter,
            3 => Verdict::TooMany,
            _ => return None,
        };
        Some(Answer { verdict, elsewhere: elsewhere.try_into().ok()?, now: now.try_into().ok()? })
    }
}

impl Node {
    /// Asks Redis about a stream that has admitted the limiter. Where Redis does not answer, the limiter's decision stands: at once
    /// without a connection, and after a response timeout with one, of which two in a row end the connection.
    pub(crate) async fn admit(
        &self,
        limiter: &AddressLimiter,
        network: Network,
        viewer: ViewerId,
        counter: &CounterName,
    ) -> Result<(), AdmissionError> {
        let answer = match self.key_of(network).filter(|_| self.commands.is_connected()) {
            Some(key) => {
                let asked = Some(Asked { viewer, counter });
                let call = self.scripts.address(&key, &self.id, &limiter.limits, &limiter.streams_of(network), asked);
                self.commands.ask(&call, Answer::parse).await.ok()
            }
            None => None,
        };
        let Some(Answer { verdict, elsewhere, .. }) = answer else {
            // Redis is told of it as soon as it hears again.
            limiter.settle(network, viewer, Decision::Held, true);
            self.metrics.admitted(DecidedBy::Alone);
            return Ok(());
        };
        let refusal = match verdict {
            Verdict::Within => {
                limiter.settle(network, viewer, Decision::Held, elsewhere > 0);
                self.metrics.admitted(DecidedBy::Everybody);
                return Ok(());
            }
            Verdict::TooFast => AdmissionError::TooFast,
            Verdict::TooManyOfCounter => AdmissionError::TooManyOfCounter { limit: limiter.limits.per_counter },
            Verdict::TooMany => AdmissionError::TooManyInAll { limit: limiter.limits.in_all },
        };
        limiter.settle(network, viewer, Decision::Refused, elsewhere > 0);
        Err(refusal)
    }

    /// The address's key; `None` while the secret that makes it is not everybody's.
    fn key_of(&self, network: Network) -> Option<String> {
        let current = *self.visitor_key.borrow();
        current.is_shared.then(|| self.prefix.address(current.key.address(network)))
    }

    /// Tells Redis who has left, until the node ends its leases; and then the last of them.
    pub(super) async fn tell_left(&self, limiter: &AddressLimiter) {
        while self.releasing.run_until_cancelled(limiter.left.notified()).await.is_some() {
            sleep(GATHER).await;
            self.forget(limiter.take_left()).await;
        }
        self.forget(limiter.take_left()).await;
    }

    /// Where Redis is away, or stops to answer, nothing more is told: the leases run out.
    async fn forget(&self, left: Vec<(Network, ViewerId)>) {
        if !self.commands.is_connected() {
            return;
        }
        let mut by_network: HashMap<_, Vec<_>> = HashMap::new();
        for (network, viewer) in left {
            by_network.entry(network).or_default().push(viewer);
        }
        let calls = stream::iter(by_network.into_iter().map(Ok::<_, CallError>)).try_for_each_concurrent(
            CALLS_AT_ONCE,
            |(network, viewers)| async move {
                let Some(key) = self.key_of(network) else { return Ok(()) };
                self.commands.query(&self.scripts.forget(&key, &self.id, &viewers)).await.map(drop)
            },
        );
        if let Err(error) = calls.await {
            tracing::debug!(%error, "streams that have left keep their places for a lease");
        }
    }

    /// Tells Redis again of the addresses that have several streams: every heartbeat, and at once when it has lost something or
    /// the addresses have new hashes.
    pub(super) async fn tell_crowded(&self, limiter: &AddressLimiter) {
        let (mut lost, mut key) = (self.lost.subscribe(), self.visitor_key.subscribe());
        loop {
            let next = Instant::now() + self.timing.heartbeat.mul_f64(1.0 - rand::random_range(0.0..0.1));
            lost.mark_unchanged();
            key.mark_unchanged();
            while self.tell_all_crowded(limiter).await.is_err() {
                sleep(RETRY).await;
                self.commands.connected().await;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                // The senders are this node's own, and live as long.
                _ = lost.changed() => {}
                _ = key.changed() => {}
            }
        }
    }

    /// Stops where Redis does not answer.
    async fn tell_all_crowded(&self, limiter: &AddressLimiter) -> Result<(), CallError> {
        for networks in limiter.crowded().chunks(TOLD_IN_A_ROW) {
            let started = Instant::now();
            let calls = stream::iter(networks.iter().copied().map(Ok::<_, CallError>)).try_for_each_concurrent(
                CALLS_AT_ONCE,
                |network| async move {
                    let Some(key) = self.key_of(network) else { return Ok(()) };
                    // Those of this moment: who leaves from now on is told of behind them.
                    let call =
                        self.scripts.address(&key, &self.id, &limiter.limits, &limiter.streams_of(network), None);
                    let answer = self.commands.ask(&call, Answer::parse).await?;
                    limiter.heard(network, answer.elsewhere > 0);
                    Ok(())
                },
            );
            calls.await?;
            sleep(started.elapsed()).await;
        }
        Ok(())
    }
}
