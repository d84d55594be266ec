//! The accept loop of the public port: a bounded rate, and no spinning where descriptors have run out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client_ip::TrustedProxies;
use super::idle::IdleConnections;
use super::serve::ConnectionServer;
use crate::http::metrics::Metrics;

/// Pause after a failed accept: descriptors come back as viewers leave, and trying sooner only burns the core.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// The rate is kept over slices of this length.
const SLICE: Duration = Duration::from_millis(10);

/// Bounds on what connects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptLimits {
    /// Connections a second.
    pub(crate) accept_rate: u32,
    /// A request's head must be complete within it.
    pub(crate) head_timeout: Duration,
    /// Connections that wait for a request.
    pub(crate) max_heads: usize,
}

/// Accepts connections and serves them.
pub(crate) struct Acceptor {
    server: Arc<ConnectionServer>,
    connections: TaskTracker,
    accept_rate: u32,
}

impl Acceptor {
    /// An acceptor for these routes. `ending` says that connections may not wait for another request.
    pub(crate) fn new(
        router: Router,
        trust: TrustedProxies,
        limits: AcceptLimits,
        metrics: Metrics,
        ending: CancellationToken,
    ) -> Self {
        let server = ConnectionServer {
            router,
            trust: Arc::new(trust),
            waiting: IdleConnections::new(limits.max_heads),
            head_timeout: limits.head_timeout,
            metrics,
            ending,
        };
        Self { server: Arc::new(server), connections: TaskTracker::new(), accept_rate: limits.accept_rate }
    }

    /// The connections that hyper still serves.
    pub(crate) fn connections(&self) -> &TaskTracker {
        &self.connections
    }

    /// Accepts until `stop`.
    pub(crate) async fn run(&self, listener: TcpListener, stop: CancellationToken) {
        let a_slice = self.accept_rate.div_ceil(100);
        let (mut slice_began, mut accepted) = (Instant::now(), 0);
        let mut failing = false;
        loop {
            if slice_began.elapsed() >= SLICE {
                (slice_began, accepted) = (Instant::now(), 0);
            } else if accepted >= a_slice {
                tokio::time::sleep_until((slice_began + SLICE).into()).await;
                continue;
            }
            let connection = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                connection = listener.accept() => connection,
            };
            accepted += 1;
            match connection {
                Ok((stream, peer)) => {
                    failing = false;
                    self.server.metrics.accepted();
                    self.connections.spawn(Arc::clone(&self.server).serve(stream, peer));
                }
                Err(error) => {
                    self.server.metrics.accept_failed();
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!("no connection can be accepted: {error}");
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(FAILURE_PAUSE) => {}
                    }
                }
            }
        }
    }
}
