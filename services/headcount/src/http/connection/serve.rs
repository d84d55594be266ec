//! One connection of the public port, from its first byte until hyper has served it or the engine has its socket.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::client_ip::TrustedProxies;
use super::error_body::ErrorBodyStream;
use super::handoff::{Handoff, NewViewer};
use super::idle::{IdleConnections, IdleSlot};
use super::proxy_protocol::{self, Expected, Preamble, PreambleError, RewindStream};
use crate::http::metrics::{EarlyClose, Metrics};

/// Largest request head. Browsers send below 2 KiB; it is hyper's least as well.
const HEAD_BYTES: usize = 8192;
/// Most headers of a request.
const HEADERS: usize = 64;
/// An HTTP/2 client that answers no ping within [`PING_TIMEOUT`] of one is gone: together below the 45 s that are
/// promised for a machine that vanishes.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams of one HTTP/2 connection: a page with as many embeds is rare, and each is a viewer.
const STREAMS: u32 = 100;
/// Bytes that hyper holds for a slow HTTP/2 stream: a few dozen frames.
const STREAM_BUFFER: usize = 16 << 10;

/// A response in the making.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Where a request came from; each request carries it as an extension.
#[derive(Clone)]
pub(in crate::http) struct ConnectionInfo {
    sender: IpAddr,
    trust: Arc<TrustedProxies>,
    /// Takes the socket over where the connection is HTTP/1.
    pub(in crate::http) handoff: Option<Handoff>,
}

impl ConnectionInfo {
    /// The client behind the proxies that are trusted.
    pub(in crate::http) fn client(&self, headers: &HeaderMap) -> IpAddr {
        self.trust.client(self.sender, headers)
    }
}

/// What all connections share.
pub(in crate::http) struct ConnectionServer {
    pub(in crate::http) router: Router,
    pub(in crate::http) trust: Arc<TrustedProxies>,
    pub(in crate::http) waiting: Arc<IdleConnections>,
    pub(in crate::http) head_timeout: Duration,
    pub(in crate::http) metrics: Metrics,
    /// Cancelled when no connection may wait for another request.
    pub(in crate::http) ending: CancellationToken,
}

impl ConnectionServer {
    /// Serves a connection to its end.
    pub(in crate::http) async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // A page's answer must not wait for the acknowledgement of its head.
        let _ = stream.set_nodelay(true);
        let close = Arc::new(Notify::new());
        let place = self.waiting.enter(&close);
        let expected = if self.trust.sends_proxy_header(peer) { Expected::Required } else { Expected::None };
        let preamble = tokio::select! {
            read = tokio::time::timeout(self.head_timeout, proxy_protocol::read(stream, expected)) => read,
            () = close.notified() => return self.metrics.closed_early(EarlyClose::Crowded),
            () = self.ending.cancelled() => return,
        };
        let Preamble { source, http2, io } = match preamble {
            Ok(Ok(preamble)) => preamble,
            Ok(Err(PreambleError::Ended(_))) => return self.metrics.closed_early(EarlyClose::Ended),
            Ok(Err(error @ PreambleError::Proxy)) => {
                tracing::debug!(proxy = %peer.ip(), "{error}");
                return self.metrics.closed_early(EarlyClose::ProxyHeader);
            }
            Err(_) => return self.metrics.closed_early(EarlyClose::HeadTimeout),
        };
        let sender = source.unwrap_or(peer).ip();
        let idle =
            Arc::new(IdleTracker { waiting: Arc::clone(&self.waiting), close, state: Mutex::new((0, Some(place))) });
        if http2 {
            self.serve_http2(io, sender, idle).await;
        } else {
            self.serve_http1(io, sender, idle).await;
        }
    }

    async fn serve_http1(&self, io: RewindStream, sender: IpAddr, idle: Arc<IdleTracker>) {
        let handoff = Handoff::default();
        let origin = ConnectionInfo { sender, trust: Arc::clone(&self.trust), handoff: Some(handoff.clone()) };
        let service = self.service(origin, &idle);
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(ErrorBodyStream::new(io)), service);
        let new_viewer = tokio::select! {
            biased;
            new_viewer = handoff.taken() => new_viewer,
            result = &mut connection => return self.note(result),
            () = idle.close.notified() => return self.metrics.closed_early(EarlyClose::Crowded),
            () = self.ending.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                let _ = connection.await;
                return;
            }
        };
        let NewViewer { feed, head, viewer } = new_viewer;
        // Bytes that came behind the request are thrown away, as the engine does with those that follow.
        let stream = connection.into_parts().io.into_inner().into_inner().into_stream();
        match stream.into_std() {
            // Rejected only where the node filled up in this moment, or the socket has failed: closing it says so.
            Ok(socket) => drop(feed.frames().adopt(socket, head, viewer)),
            Err(error) => tracing::debug!("a viewer's socket could not be handed over: {error}"),
        }
    }

    async fn serve_http2(&self, io: RewindStream, sender: IpAddr, idle: Arc<IdleTracker>) {
        let origin = ConnectionInfo { sender, trust: Arc::clone(&self.trust), handoff: None };
        let service = self.service(origin, &idle);
        let mut connection = pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(HEAD_BYTES).expect("8192 fits"))
                .max_concurrent_streams(STREAMS)
                .max_send_buf_size(STREAM_BUFFER)
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .serve_connection(TokioIo::new(io), service)
        );
        tokio::select! {
            result = &mut connection => self.note(result),
            () = idle.close.notified() => self.metrics.closed_early(EarlyClose::Crowded),
            () = self.ending.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    /// The router, told where requests come from; while it answers, the connection is not waiting.
    fn service(
        &self,
        origin: ConnectionInfo,
        idle: &Arc<IdleTracker>,
    ) -> impl hyper::service::Service<
        Request<hyper::body::Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future = Answer,
    > + use<> {
        let (router, idle) = (self.router.clone(), Arc::clone(idle));
        service_fn(move |mut request: Request<hyper::body::Incoming>| {
            let busy = idle.begin_request();
            request.extensions_mut().insert(origin.clone());
            let mut router = router.clone();
            let response: Answer = Box::pin(async move {
                let response = router.call(request.map(Body::new)).await?;
                Ok(response.map(|body| Body::new(super::busy::GuardedBody::new(body, busy))))
            });
            response
        })
    }

    fn note(&self, result: hyper::Result<()>) {
        match result {
            Ok(()) => {}
            Err(error) if error.is_timeout() => self.metrics.closed_early(EarlyClose::HeadTimeout),
            Err(error) if error.is_parse() => self.metrics.closed_early(EarlyClose::Malformed),
            Err(error) => tracing::trace!("a connection ended: {error}"),
        }
    }
}

/// Whether a connection waits for a request.
pub(in crate::http) struct IdleTracker {
    waiting: Arc<IdleConnections>,
    close: Arc<Notify>,
    /// Requests that are being answered, and the place in the table while there are none.
    state: Mutex<(usize, Option<IdleSlot>)>,
}

impl IdleTracker {
    /// Notes that a request has come; it has been answered when the guard is dropped.
    fn begin_request(self: &Arc<Self>) -> RequestGuard {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let place = state.1.take();
        drop(state);
        drop(place);
        RequestGuard(Arc::clone(self))
    }
}

/// A request that is being answered.
pub(in crate::http) struct RequestGuard(Arc<IdleTracker>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 -= 1;
        if state.0 == 0 {
            state.1 = Some(self.0.waiting.enter(&self.0.close));
        }
    }
}
