//! Serves one connection of the public port, from its first byte until hyper is done or the engine has its socket.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use headcount_engine::RejectedViewer;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::client_ip::TrustedProxies;
use super::connection_info::ConnectionInfo;
use super::detect::{DetectError, Detected, ProxyHeader, detect};
use super::error_body::ErrorBodyStream;
use super::handoff::{Handoff, NewViewer};
use super::idle::{IdleConnections, IdleTracker};
use super::refusal::refuse;
use super::response_body::{FirstFrameSent, Keeps, ResponseBody};
use super::response_budget::ResponseBudget;
use super::rewind::RewindStream;
use super::stream_reset::StreamExecutor;
use super::unread::UnreadResponses;
use crate::http::error::HttpError;
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

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

/// What closes a connection before its client does.
struct ConnectionWatch {
    idle: Arc<IdleTracker>,
    unread: Arc<UnreadResponses>,
    /// When the first request's head must be complete.
    head_deadline: Instant,
}

impl ConnectionWatch {
    /// Waits until the connection must be closed, and returns why. hyper has a deadline for each head too; this one
    /// includes the time before hyper saw the connection.
    async fn must_close(&self) -> EarlyClose {
        let no_request = async {
            tokio::time::sleep_until(self.head_deadline).await;
            if self.idle.has_been_requested() {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = self.idle.must_close() => EarlyClose::Crowded,
            () = self.unread.stalled() => EarlyClose::Stalled,
            () = no_request => EarlyClose::HeadTimeout,
        }
    }
}

/// Serves connections. All connections share it.
pub(super) struct ConnectionServer {
    pub(super) router: Router,
    pub(super) proxies: Arc<TrustedProxies>,
    pub(super) idle_connections: Arc<IdleConnections>,
    /// Time within which a request's head must be complete.
    pub(super) head_timeout: Duration,
    /// Time within which a client must read something of a response.
    pub(super) stall_limit: Duration,
    pub(super) response_budget: Arc<ResponseBudget>,
    pub(super) metrics: Metrics,
    /// Cancelled when connections must end after their current request.
    pub(super) ending: CancellationToken,
}

impl ConnectionServer {
    /// Serves a connection until it ends or the engine takes its socket over.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Otherwise a response's body waits for the acknowledgement of its head.
        let _ = stream.set_nodelay(true);
        let head_deadline = Instant::now() + self.head_timeout;
        let close = Arc::new(Notify::new());
        let slot = self.idle_connections.enter(&close);
        let proxy_header =
            if self.proxies.must_send_proxy_header(peer) { ProxyHeader::Required } else { ProxyHeader::Absent };
        let detected = tokio::select! {
            detected = tokio::time::timeout_at(head_deadline, detect(stream, proxy_header)) => detected,
            () = close.notified() => return self.metrics.closed_early(EarlyClose::Crowded),
            () = self.ending.cancelled() => return,
        };
        let Detected { proxied, http2, read, stream } = match detected {
            Ok(Ok(detected)) => detected,
            Ok(Err(DetectError::Ended(_))) => return self.metrics.closed_early(EarlyClose::Ended),
            Ok(Err(DetectError::ProxyHeader(error))) => {
                tracing::debug!(proxy = %peer.ip(), "{error}");
                return self.metrics.closed_early(EarlyClose::ProxyHeader);
            }
            Err(_) => return self.metrics.closed_early(EarlyClose::HeadTimeout),
        };
        let unread = UnreadResponses::new(Arc::clone(&self.response_budget), self.stall_limit);
        let io = RewindStream::new(read, stream, Arc::clone(&unread));
        let info = ConnectionInfo {
            peer_ip: proxied.source.unwrap_or(peer).ip(),
            tls: proxied.tls,
            proxies: Arc::clone(&self.proxies),
            handoff: (!http2).then(Handoff::default),
        };
        let idle = IdleTracker::new(Arc::clone(&self.idle_connections), close, slot);
        let watch = ConnectionWatch { idle, unread, head_deadline };
        if http2 {
            self.serve_http2(io, info, &watch).await;
        } else {
            self.serve_http1(io, info, &watch).await;
        }
    }

    async fn serve_http1(&self, io: RewindStream, info: ConnectionInfo, watch: &ConnectionWatch) {
        let handoff = info.handoff.clone().unwrap_or_default();
        let service = self.service(info, watch);
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(ErrorBodyStream::new(io)), service);
        // Dropped before the connection, whose request may still be in progress.
        let leaving = watch.idle.leave_on_drop();
        let mut must_close = pin!(watch.must_close());
        let mut is_ending = false;
        let NewViewer { feed, head, attachment } = loop {
            tokio::select! {
                biased;
                viewer = handoff.receive() => break viewer,
                result = &mut connection => return self.record_end(result),
                cause = &mut must_close => return self.metrics.closed_early(cause),
                () = self.ending.cancelled(), if !is_ending => {
                    is_ending = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        drop(leaving);
        // Bytes behind the request are discarded, as the engine discards those that follow.
        let stream = connection.into_parts().io.into_inner().into_inner().into_stream();
        let socket = match stream.into_std() {
            Ok(socket) => socket,
            Err(error) => return tracing::debug!("cannot move a viewer's socket into the engine: {error}"),
        };
        // Fails only if the node filled up or began to end just now, or if the socket has failed.
        if let Err(RejectedViewer { socket, rejection, .. }) = feed.handle().adopt(socket, head, attachment) {
            let error = HttpError::from(rejection);
            self.metrics.refused(error.cause());
            refuse(socket, error).await;
        }
    }

    async fn serve_http2(&self, io: RewindStream, info: ConnectionInfo, watch: &ConnectionWatch) {
        let service = self.service(info, watch);
        let mut connection = pin!(
            http2::Builder::new(StreamExecutor)
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("8192 fits"))
                .max_concurrent_streams(MAX_HTTP2_STREAMS)
                .max_send_buf_size(HTTP2_STREAM_BUFFER)
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .serve_connection(TokioIo::new(io), service)
        );
        let _leaving = watch.idle.leave_on_drop();
        let mut must_close = pin!(watch.must_close());
        let mut is_ending = false;
        loop {
            tokio::select! {
                result = &mut connection => return self.record_end(result),
                cause = &mut must_close => return self.metrics.closed_early(cause),
                () = self.ending.cancelled(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Returns the router as hyper's service. It adds the connection's info to each request, bounds the responses that wait
    /// to be read, and the connection counts as idle while no handler works and no viewer is there.
    fn service(
        &self,
        info: ConnectionInfo,
        watch: &ConnectionWatch,
    ) -> impl hyper::service::Service<
        Request<hyper::body::Incoming>,
        Response = Response<ResponseBody>,
        Error = Infallible,
        Future = ResponseFuture,
    > + use<> {
        let (router, metrics) = (self.router.clone(), self.metrics.clone());
        let (idle, unread) = (Arc::clone(&watch.idle), Arc::clone(&watch.unread));
        service_fn(move |mut request: Request<hyper::body::Incoming>| {
            let guard = idle.begin_request();
            request.extensions_mut().insert(info.clone());
            let (mut router, metrics, unread) = (router.clone(), metrics.clone(), Arc::clone(&unread));
            let response: ResponseFuture = Box::pin(async move {
                let response = router.call(request.map(Body::new)).await?;
                if let Some(first_frame_sent) = response.extensions().get::<FirstFrameSent>() {
                    let keeps = ResponseBody::viewer(guard, first_frame_sent);
                    return Ok(response.map(|body| ResponseBody::new(body, keeps)));
                }
                // Only a viewer's stream has no exact length.
                let bytes = response.body().size_hint().exact().unwrap_or(0);
                Ok(match unread.add(usize::try_from(bytes).unwrap_or(usize::MAX)) {
                    Some(unread) => response.map(|body| ResponseBody::new(body, Keeps::Unread(Arc::new(unread)))),
                    None => {
                        let error = HttpError::Unread;
                        metrics.refused(error.cause());
                        error.into_response().map(|body| ResponseBody::new(body, Keeps::Nothing))
                    }
                })
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
