//! Serves one connection of the public port, from its first byte until hyper is done or the engine has its socket.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::client_ip::TrustedProxies;
use super::connection_info::ConnectionInfo;
use super::detect::{DetectError, Detected, ProxyHeader, detect};
use super::error_body::ErrorBodyStream;
use super::handoff::{Handoff, NewViewer};
use super::idle::{GuardedBody, IdleConnections, IdleTracker};
use super::rewind::RewindStream;
use crate::http::metrics::{EarlyClose, Metrics};

/// Largest request head. Browsers send less than 2 KiB; hyper accepts no smaller limit.
const MAX_HEAD_BYTES: usize = 8192;
/// Most headers in a request.
const MAX_HEADERS: usize = 64;
/// Time between pings to an HTTP/2 client.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Time for an HTTP/2 client to answer a ping. Together with [`PING_INTERVAL`] below the 45 s within which a vanished
/// client must be dropped.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Most concurrent streams of an HTTP/2 connection. Each is a viewer, and few pages embed that many.
const MAX_HTTP2_STREAMS: u32 = 100;
/// Bytes that hyper buffers for a slow HTTP/2 stream: a few dozen frames.
const HTTP2_STREAM_BUFFER: usize = 16 << 10;

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Serves connections. All connections share it.
pub(super) struct ConnectionServer {
    pub(super) router: Router,
    pub(super) proxies: Arc<TrustedProxies>,
    pub(super) idle_connections: Arc<IdleConnections>,
    /// Time within which a request's head must be complete.
    pub(super) head_timeout: Duration,
    pub(super) metrics: Metrics,
    /// Cancelled when connections must end after their current request.
    pub(super) ending: CancellationToken,
}

impl ConnectionServer {
    /// Serves a connection until it ends or the engine takes its socket over.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Otherwise a response's body waits for the acknowledgement of its head.
        let _ = stream.set_nodelay(true);
        let close = Arc::new(Notify::new());
        let slot = self.idle_connections.enter(&close);
        let proxy_header =
            if self.proxies.must_send_proxy_header(peer) { ProxyHeader::Required } else { ProxyHeader::Absent };
        let detected = tokio::select! {
            detected = tokio::time::timeout(self.head_timeout, detect(stream, proxy_header)) => detected,
            () = close.notified() => return self.metrics.closed_early(EarlyClose::Crowded),
            () = self.ending.cancelled() => return,
        };
        let Detected { source, http2, io } = match detected {
            Ok(Ok(detected)) => detected,
            Ok(Err(DetectError::Ended(_))) => return self.metrics.closed_early(EarlyClose::Ended),
            Ok(Err(DetectError::ProxyHeader(error))) => {
                tracing::debug!(proxy = %peer.ip(), "{error}");
                return self.metrics.closed_early(EarlyClose::ProxyHeader);
            }
            Err(_) => return self.metrics.closed_early(EarlyClose::HeadTimeout),
        };
        let peer_ip = source.unwrap_or(peer).ip();
        let idle = IdleTracker::new(Arc::clone(&self.idle_connections), close, slot);
        if http2 {
            self.serve_http2(io, peer_ip, idle).await;
        } else {
            self.serve_http1(io, peer_ip, idle).await;
        }
    }

    async fn serve_http1(&self, io: RewindStream, peer_ip: IpAddr, idle: Arc<IdleTracker>) {
        let handoff = Handoff::default();
        let service = self.service(self.connection_info(peer_ip, Some(handoff.clone())), &idle);
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(ErrorBodyStream::new(io)), service);
        let NewViewer { feed, head, attachment } = tokio::select! {
            biased;
            viewer = handoff.receive() => viewer,
            result = &mut connection => return self.record_end(result),
            () = idle.must_close() => return self.metrics.closed_early(EarlyClose::Crowded),
            () = self.ending.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                let _ = connection.await;
                return;
            }
        };
        // Bytes behind the request are discarded, as the engine discards those that follow.
        let stream = connection.into_parts().io.into_inner().into_inner().into_stream();
        match stream.into_std() {
            // Fails only if the node filled up just now or the socket has failed. Dropping the socket closes it.
            Ok(socket) => drop(feed.handle().adopt(socket, head, attachment)),
            Err(error) => tracing::debug!("cannot move a viewer's socket into the engine: {error}"),
        }
    }

    async fn serve_http2(&self, io: RewindStream, peer_ip: IpAddr, idle: Arc<IdleTracker>) {
        let service = self.service(self.connection_info(peer_ip, None), &idle);
        let mut connection = pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("8192 fits"))
                .max_concurrent_streams(MAX_HTTP2_STREAMS)
                .max_send_buf_size(HTTP2_STREAM_BUFFER)
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .serve_connection(TokioIo::new(io), service)
        );
        tokio::select! {
            result = &mut connection => self.record_end(result),
            () = idle.must_close() => self.metrics.closed_early(EarlyClose::Crowded),
            () = self.ending.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    fn connection_info(&self, peer_ip: IpAddr, handoff: Option<Handoff>) -> ConnectionInfo {
        ConnectionInfo { peer_ip, proxies: Arc::clone(&self.proxies), handoff }
    }

    /// Returns the router as hyper's service. It adds the connection's info to each request, and the connection counts as
    /// idle while no request is in progress.
    fn service(
        &self,
        info: ConnectionInfo,
        idle: &Arc<IdleTracker>,
    ) -> impl hyper::service::Service<
        Request<hyper::body::Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future = ResponseFuture,
    > + use<> {
        let (router, idle) = (self.router.clone(), Arc::clone(idle));
        service_fn(move |mut request: Request<hyper::body::Incoming>| {
            let guard = idle.begin_request();
            request.extensions_mut().insert(info.clone());
            let mut router = router.clone();
            let response: ResponseFuture = Box::pin(async move {
                let response = router.call(request.map(Body::new)).await?;
                Ok(response.map(|body| Body::new(GuardedBody::new(body, guard))))
            });
            response
        })
    }

    fn record_end(&self, result: hyper::Result<()>) {
        match result {
            Ok(()) => {}
            Err(error) if error.is_timeout() => self.metrics.closed_early(EarlyClose::HeadTimeout),
            Err(error) if error.is_parse() => self.metrics.closed_early(EarlyClose::Malformed),
            Err(error) => tracing::trace!("a connection ended: {error}"),
        }
    }
}
