//! The accept loop of the public port: bounded in rate, and it pauses when accepting fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use bytes::Bytes;
use headcount_connection::{IdleConnections, RequestLimits, TrustedProxies};
use headcount_presence::AddressLimits;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::serve::ConnectionServer;
use super::waiting::{WaitingConnection, WaitingConnections};
use crate::http::metrics::Metrics;

/// Connections that the kernel queues until they are accepted. `net.core.somaxconn` bounds it further.
const BACKLOG: u32 = 4096;
/// Pause after a failed accept. Descriptors come back as viewers leave; trying sooner only uses processor time.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// The accept rate is enforced over slices of this length.
const SLICE: Duration = Duration::from_millis(10);
/// Slices per second.
const SLICES_PER_SECOND: u32 = 100;
/// Most requests in progress of one client address, unless it may have more streams. By default it may have as many.
const MIN_ADDRESS_REQUESTS: usize = 128;

/// Bounds on connections and their requests.
#[derive(Clone, Debug)]
pub(crate) struct AcceptLimits {
    /// Connections accepted per second.
    pub(crate) accept_rate: u32,
    /// Time within which a request's head must be complete.
    pub(crate) head_timeout: Duration,
    /// Connections that may wait for a request at the same time.
    pub(crate) max_heads: usize,
    /// Requests in progress and viewers together at the same time.
    pub(crate) max_requests: usize,
    /// Which addresses no limit of requests in progress applies to, and how many streams the others may have.
    pub(crate) addresses: AddressLimits,
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
    /// Creates an acceptor that serves `router`. `viewers` returns the number of viewers on the node. Once `ending` is cancelled, connections end after their current
    /// request.
    pub(crate) fn new(
        router: Router,
        proxies: TrustedProxies,
        limits: AcceptLimits,
        viewers: impl Fn() -> usize + Send + Sync + 'static,
        metrics: Metrics,
        ending: CancellationToken,
    ) -> Self {
        let max_of_address = limits.addresses.in_all.max(MIN_ADDRESS_REQUESTS);
        let server = ConnectionServer {
            router,
            proxies: Arc::new(proxies),
            idle_connections: IdleConnections::new(limits.max_heads, usize::MAX),
            request_limits: RequestLimits::new(limits.max_requests, max_of_address, limits.addresses, viewers),
            head_timeout: limits.head_timeout,
            stall_limit: limits.stall_limit,
            response_budget: Arc::default(),
            waiting: WaitingConnections::default(),
            metrics,
            ending,
        };
        Self { server: Arc::new(server), connections: TaskTracker::new(), accept_rate: limits.accept_rate }
    }

    /// The tasks of the connections that hyper serves.
    pub(crate) fn connections(&self) -> &TaskTracker {
        &self.connections
    }

    /// Keeps connections open whose first request is not answered when `ending` is cancelled. Returns them later, from
    /// [`take_waiting`](Self::take_waiting).
    pub(crate) fn keep_waiting(&self) {
        self.server.waiting.keep();
    }

    /// Returns the connections that were kept.
    pub(crate) fn take_waiting(&self) -> Vec<WaitingConnection> {
        self.server.waiting.take()
    }

    /// Serves a connection that has been accepted, in a task.
    pub(crate) fn serve(&self, connection: WaitingConnection) {
        self.connections.spawn(Arc::clone(&self.server).serve(connection));
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
                    self.serve(WaitingConnection { stream, peer, read: Bytes::new() });
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
