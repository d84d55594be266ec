//! The accept loop of the public port: bounded in rate, and it pauses when accepting fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client_ip::TrustedProxies;
use super::idle::IdleConnections;
use super::serve::ConnectionServer;
use crate::http::metrics::Metrics;

/// Connections that the kernel queues until they are accepted. `net.core.somaxconn` bounds it further.
const BACKLOG: u32 = 4096;
/// Pause after a failed accept. Descriptors come back as viewers leave; trying sooner only uses processor time.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// The accept rate is enforced over slices of this length.
const SLICE: Duration = Duration::from_millis(10);
/// Slices per second.
const SLICES_PER_SECOND: u32 = 100;

/// Bounds on new connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptLimits {
    /// Connections accepted per second.
    pub(crate) accept_rate: u32,
    /// Time within which a request's head must be complete.
    pub(crate) head_timeout: Duration,
    /// Connections that may wait for a request at the same time.
    pub(crate) max_heads: usize,
    /// Time within which a client must read something of a response.
    pub(crate) stall_limit: Duration,
}

/// Opens a listener. One on an IPv6 address that stands for all, as `[::]`, accepts IPv4 too, whatever the system's default
/// for that is.
///
/// # Errors
/// Fails if the address is in use or is not an address of this machine.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        if address.is_ipv6() {
            SockRef::from(&socket).set_only_v6(false)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().with_context(|| format!("cannot listen on {address}"))
}

/// Accepts connections and serves each in a task.
pub(crate) struct Acceptor {
    server: Arc<ConnectionServer>,
    connections: TaskTracker,
    accept_rate: u32,
}

impl Acceptor {
    /// Creates an acceptor that serves `router`. Once `ending` is cancelled, connections end after their current
    /// request.
    pub(crate) fn new(
        router: Router,
        proxies: TrustedProxies,
        limits: AcceptLimits,
        metrics: Metrics,
        ending: CancellationToken,
    ) -> Self {
        let server = ConnectionServer {
            router,
            proxies: Arc::new(proxies),
            idle_connections: IdleConnections::new(limits.max_heads),
            head_timeout: limits.head_timeout,
            stall_limit: limits.stall_limit,
            response_budget: Arc::default(),
            metrics,
            ending,
        };
        Self { server: Arc::new(server), connections: TaskTracker::new(), accept_rate: limits.accept_rate }
    }

    /// The tasks of the connections that hyper serves.
    pub(crate) fn connections(&self) -> &TaskTracker {
        &self.connections
    }

    /// Accepts connections until `stop` is cancelled, then closes the listener.
    pub(crate) async fn run(&self, listener: TcpListener, stop: CancellationToken) {
        let per_slice = self.accept_rate.div_ceil(SLICES_PER_SECOND);
        let (mut slice_start, mut accepted) = (Instant::now(), 0);
        let mut failing = false;
        loop {
            if slice_start.elapsed() >= SLICE {
                (slice_start, accepted) = (Instant::now(), 0);
            } else if accepted >= per_slice {
                tokio::time::sleep_until((slice_start + SLICE).into()).await;
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
                        tracing::warn!("cannot accept connections: {error}");
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
