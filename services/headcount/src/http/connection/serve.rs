//! Serves one connection of the public port, from its first byte until hyper is done or the engine has its socket.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{Request, Response};
use bytes::{Bytes, BytesMut};
use headcount_connection::{IdleConnections, IdleTracker, RequestLimits, TrustedProxies, refuse};
use headcount_engine::RejectedViewer;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::connection_info::ConnectionInfo;
use super::detect::{DetectError, Detected, ProxyHeader, detect};
use super::error_body::ErrorBodyStream;
use super::handoff::{Handoff, NewViewer};
use super::response_body::{Keeps, ResponseBody, ViewerStream};
use super::response_budget::ResponseBudget;
use super::rewind::{RewindStream, Untouched};
use super::unread::UnreadResponses;
use super::waiting::{WaitingConnection, WaitingConnections};
use super::write_progress::StreamExecutor;
use crate::http::error::HttpError;
use crate::http::metrics::{EarlyClose, Metrics};
use crate::http::refusal_form::RefusalForm;

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
/// Bytes that a connection's first read takes: a PROXY header and the first headers of a request.
const FIRST_READ: usize = 512;
/// Bytes that hyper buffers for a slow HTTP/2 stream: a few dozen frames.
const HTTP2_STREAM_BUFFER: usize = 16 << 10;

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

/// What closes a connection before its client does.
struct ConnectionWatch {
    idle: Arc<IdleTracker>,
    unread: Arc<UnreadResponses>,
    untouched: Untouched,
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
            () = self.unread.must_make_room() => EarlyClose::Unread,
            () = no_request => EarlyClose::HeadTimeout,
        }
    }
}

/// Serves connections. All connections share it.
pub(super) struct ConnectionServer {
    pub(super) router: Router,
    pub(super) proxies: Arc<TrustedProxies>,
    pub(super) idle_connections: Arc<IdleConnections>,
    pub(super) request_limits: Arc<RequestLimits>,
    /// Time within which a request's head must be complete.
    pub(super) head_timeout: Duration,
    /// Time within which a client must read something of a response.
    pub(super) stall_limit: Duration,
    pub(super) response_budget: Arc<ResponseBudget>,
    /// Connections whose first request is not answered when the node ends.
    pub(super) waiting: WaitingConnections,
    pub(super) metrics: Metrics,
    /// Cancelled when connections must end after their current request.
    pub(super) ending: CancellationToken,
}

impl ConnectionServer {
    /// Serves a connection until it ends or the engine takes its socket over.
    pub(super) async fn serve(self: Arc<Self>, WaitingConnection { mut stream, peer, read }: WaitingConnection) {
        // Otherwise a response's body waits for the acknowledgement of its head.
        let _ = stream.set_nodelay(true);
        let head_deadline = Instant::now() + self.head_timeout;
        let close = Arc::new(Notify::new());
        let slot = self.idle_connections.enter(None, &close);
        let proxy_header =
            if self.proxies.must_send_proxy_header(peer) { ProxyHeader::Required } else { ProxyHeader::Absent };
        let mut read = BytesMut::from(read);
        let first_bytes = async {
            if read.is_empty() {
                // A connection that sends nothing costs no buffer.
                stream.readable().await?;
                read.reserve(FIRST_READ);
            }
            detect(&mut stream, &mut read, proxy_header).await
        };
        let detected = tokio::select! {
            biased;
            detected = tokio::time::timeout_at(head_deadline, first_bytes) => detected,
            () = close.notified() => return self.metrics.closed_early(EarlyClose::Crowded),
            () = self.ending.cancelled() => {
                return self.waiting.ended(WaitingConnection { stream, peer, read: read.freeze() });
            }
        };
        let Detected { proxied, header_bytes, http2 } = match detected {
            Ok(Ok(detected)) => detected,
            Ok(Err(DetectError::Ended(_))) => return self.metrics.closed_early(EarlyClose::Ended),
            Ok(Err(DetectError::ProxyHeader(error))) => {
                tracing::debug!(proxy = %peer.ip(), "{error}");
                return self.metrics.closed_early(EarlyClose::ProxyHeader);
            }
            Err(_) => return self.metrics.closed_early(EarlyClose::HeadTimeout),
        };
        let unread = UnreadResponses::new(&self.response_budget, self.stall_limit);
        let header = read.split_to(header_bytes).freeze();
        let untouched = Untouched::default();
        let io = RewindStream::new(read.freeze(), stream, Arc::clone(&unread), untouched.clone());
        let info = ConnectionInfo {
            peer_ip: proxied.source.unwrap_or(peer).ip(),
            tls: proxied.tls,
            proxies: Arc::clone(&self.proxies),
            handoff: (!http2).then(Handoff::default),
        };
        let idle = IdleTracker::new(Arc::clone(&self.idle_connections), None, close, slot);
        let watch = ConnectionWatch { idle, unread, untouched, head_deadline };
        if http2 {
            self.serve_http2(io, info, &watch).await;
        } else {
            let waiting = self.serve_http1(io, info, &watch).await;
            if let Some((stream, read)) = waiting {
                self.waiting.ended(WaitingConnection { stream, peer, read: [header, read].concat().into() });
            }
        }
    }

    /// Serves a connection over HTTP/1. Returns it with what its client has sent if the node ends and has answered nothing.
    async fn serve_http1(
        &self,
        io: RewindStream,
        info: ConnectionInfo,
        watch: &ConnectionWatch,
    ) -> Option<(TcpStream, Bytes)> {
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
                result = &mut connection => {
                    self.record_end(result);
                    return None;
                }
                cause = &mut must_close => {
                    self.metrics.closed_early(cause);
                    return None;
                }
                () = self.ending.cancelled(), if !is_ending => {
                    is_ending = true;
                    if self.waiting.are_kept() && watch.untouched.is_so() {
                        // The request that it may wait with, for Redis or a picture, is begun again.
                        return Some(connection.into_parts().io.into_inner().into_inner().into_parts());
                    }
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        drop(leaving);
        // Bytes behind the request are discarded, as the engine discards those that follow. Of responses before it nothing is
        // left: hyper reads the next request of a pipeline only when the socket has taken them.
        let (stream, _) = connection.into_parts().io.into_inner().into_inner().into_parts();
        let socket = match stream.into_std() {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!("cannot move a viewer's socket into the engine: {error}");
                return None;
            }
        };
        // Fails only if the node filled up or began to end just now, or if the socket has failed.
        if let Err(RejectedViewer { socket, rejection, .. }) = feed.handle().adopt(socket, head, attachment) {
            let error = HttpError::from(rejection);
            self.metrics.refused(error.cause());
            refuse(socket, RefusalForm::of(feed.key.format).refuse(error)).await;
        }
        None
    }

    async fn serve_http2(&self, io: RewindStream, info: ConnectionInfo, watch: &ConnectionWatch) {
        let service = self.service(info, watch);
        let mut connection = pin!(
            http2::Builder::new(StreamExecutor { stall_limit: self.stall_limit })
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

    /// Returns the router as hyper's service. It adds the connection's info to each request, bounds the requests in progress and
    /// the responses that wait to be read, and the connection counts as idle while no handler works and no viewer is there.
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
        let limits = Arc::clone(&self.request_limits);
        service_fn(move |mut request: Request<hyper::body::Incoming>| {
            let guard = idle.begin_request();
            let permit = limits.begin(info.client_ip(request.headers()));
            let form = RefusalForm::of_path(request.uri().path());
            request.extensions_mut().insert(info.clone());
            let (mut router, metrics, unread) = (router.clone(), metrics.clone(), Arc::clone(&unread));
            let response: ResponseFuture = Box::pin(async move {
                let response = match permit {
                    Ok(_permit) => router.call(request.map(Body::new)).await?,
                    Err(too_many) => {
                        let error = HttpError::from(too_many);
                        metrics.refused(error.cause());
                        form.refuse(error)
                    }
                };
                if let Some(ViewerStream(progress)) = response.extensions().get() {
                    let keeps = Keeps::Viewer { _request: guard, progress: Arc::clone(progress) };
                    return Ok(response.map(|body| ResponseBody::new(body, keeps)));
                }
                // Only a viewer's stream has no exact length.
                let bytes = response.body().size_hint().exact().unwrap_or(0);
                Ok(match unread.add(usize::try_from(bytes).unwrap_or(usize::MAX)) {
                    Some(unread) => response.map(|body| ResponseBody::new(body, Keeps::Unread(Arc::new(unread)))),
                    None => {
                        let error = HttpError::Unread;
                        metrics.refused(error.cause());
                        form.refuse(error).map(|body| ResponseBody::new(body, Keeps::Nothing))
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
