//! [`run`]: a service on the engine, from its listener to its end. Each connection is served until hyper is done, or the engine
//! takes its socket over.

use std::convert::Infallible;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headcount_engine::{Attachment, Engine, FeedHandle};
use headcount_presence::{AddressLimits, Network};
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::TrustedProxies;
use crate::handoff::{Handoff, refuse, written};
use crate::idle::{IdleConnections, IdleTracker};
use crate::proxy_protocol::{MAX_HEADER_BYTES, parse};
use crate::request_limits::{RequestLimits, RequestPermit, TooManyRequests};

/// Time within which a connection's first request must have a whole head, a PROXY header before it included, and each further
/// request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a client may leave what it is sent unacknowledged, or its window closed. As long as the engine's stall limit.
const STALL_LIMIT: Duration = Duration::from_secs(25);
/// Time for the requests in progress when the service stops: a form's deadline, and Redis's.
const STOP_LIMIT: Duration = Duration::from_secs(7);
/// Pause until a PROXY header that came in parts is looked at again. Load balancers send it in one.
const PARTS_PAUSE: Duration = Duration::from_millis(10);
/// Connections that hyper serves at the same time; further ones wait in the kernel.
const MAX_CONNECTIONS: usize = 1_000;
/// Those of them that may wait for a request, so that there is always room for new ones.
const MAX_IDLE: usize = MAX_CONNECTIONS / 2;
/// Connections of one address that may wait for a request, and as many that may wait for an answer. Browsers open six.
const MAX_OF_ADDRESS: usize = 32;
/// Pause after a failed accept. Descriptors come back as viewers leave.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// Largest request head. hyper accepts no smaller limit.
const MAX_HEAD_BYTES: usize = 8192;
/// Most headers in a request.
const MAX_HEADERS: usize = 64;

/// Keeps Firefox from delaying a second page with the same picture behind its cache's entry: see headcount's streams.
const OUTGROWS_FIREFOX_CACHE: &str = "bytes 0-0/1099511627776";

/// How a service runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who names clients.
    pub proxies: TrustedProxies,
    /// Networks that no limit of addresses applies to.
    pub exempt: Vec<IpNet>,
    /// Time for which a service that stops serves on, not ready.
    pub drain_delay: Duration,
    /// Time over which a service that stops ends its streams.
    pub drain: Duration,
}

/// A viewer without its socket.
pub struct NewViewer<A> {
    /// What it sees.
    pub feed: FeedHandle<A>,
    /// The response that the stream is: its head and the opening.
    pub response: Response<Bytes>,
    /// What the engine keeps with it.
    pub attachment: A,
    /// What it is answered if its place has just gone to another one.
    pub refusal: Response<Bytes>,
}

/// A request's connection.
pub struct Connection<A> {
    /// The client's address, as named by trusted proxies if the request came through one.
    pub client_ip: IpAddr,
    is_firefox: bool,
    handoff: Handoff<NewViewer<A>>,
    _permit: RequestPermit,
}

/// A request's connection, unless too many of its address are in progress.
pub type ConnectionResult<A> = std::result::Result<Connection<A>, TooManyRequests>;

impl<A> Connection<A> {
    /// Makes the connection a viewer's. Never returns: hyper would write an answer.
    pub async fn hand_over(self, mut viewer: NewViewer<A>) -> ! {
        if self.is_firefox {
            viewer
                .response
                .headers_mut()
                .insert(header::CONTENT_RANGE, HeaderValue::from_static(OUTGROWS_FIREFOX_CACHE));
        }
        self.handoff.send(viewer);
        std::future::pending().await
    }
}

/// Serves until SIGTERM or SIGINT: then `draining` is cancelled, and after the delay no more connections are accepted, streams
/// end, and requests in progress are answered, for some seconds at most.
///
/// Each request is answered by `answer`: with its connection, unless too many of its address are in progress. An address that is
/// not exempt has at most 32 of them, and as many connections that wait for one. Raises the limit of open files, of which each
/// viewer is one.
///
/// # Errors
/// Fails if the process cannot handle signals, or may not have files.
pub async fn run<A, F>(
    listener: TcpListener,
    settings: Settings,
    engine: &Engine<A>,
    draining: CancellationToken,
    answer: impl Fn(Request<Incoming>, ConnectionResult<A>) -> F + Send + Sync + 'static,
) -> Result<()>
where
    A: Attachment,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let Settings { proxies, exempt, drain_delay, drain } = settings;
    let stop = CancellationToken::new();
    let limits = AddressLimits { exempt, ..AddressLimits::default() };
    let server = Arc::new(Server {
        proxies,
        idle: IdleConnections::new(MAX_IDLE, MAX_OF_ADDRESS),
        requests: RequestLimits::new(MAX_CONNECTIONS, MAX_OF_ADDRESS, limits.clone(), || 0),
        limits,
        stop: stop.clone(),
        answer,
    });
    let accepting = tokio::spawn(accept(listener, server));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(viewers = engine.viewers(), "stopping");
    draining.cancel();
    tokio::time::sleep(drain_delay).await;
    stop.cancel();
    let ((), accepted) = tokio::join!(engine.drain(drain), accepting);
    accepted.map_err(Error::other)
}

/// Accepts connections until the server stops, and waits for those that are served then.
async fn accept<A, F, S>(listener: TcpListener, server: Arc<Server<S>>)
where
    A: Attachment,
    F: Future<Output = Response<Bytes>> + Send + 'static,
    S: Fn(Request<Incoming>, ConnectionResult<A>) -> F + Send + Sync + 'static,
{
    let stop = &server.stop;
    let (permits, connections) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), TaskTracker::new());
    while let Some(permit) = stop.run_until_cancelled(Arc::clone(&permits).acquire_owned()).await {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { break };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(FAILURE_PAUSE).await;
            continue;
        };
        let server = Arc::clone(&server);
        connections.spawn(async move {
            if let Err(error) = server.serve(stream, peer).await {
                tracing::debug!("a connection ended: {error}");
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    let _ = timeout(STOP_LIMIT, connections.wait()).await;
}

/// Serves connections. All of them share it.
struct Server<F> {
    proxies: TrustedProxies,
    idle: Arc<IdleConnections>,
    requests: Arc<RequestLimits>,
    limits: AddressLimits,
    stop: CancellationToken,
    answer: F,
}

impl<S> Server<S> {
    async fn serve<A, F>(&self, mut stream: TcpStream, peer: SocketAddr) -> Result<()>
    where
        A: Attachment,
        F: Future<Output = Response<Bytes>> + Send + 'static,
        S: Fn(Request<Incoming>, ConnectionResult<A>) -> F,
    {
        // Otherwise a response's body waits for the acknowledgement of its head.
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(STALL_LIMIT))?;
        let deadline = Instant::now() + HEAD_TIMEOUT;
        let (close, mut client) = (Arc::new(Notify::new()), peer.ip());
        if self.proxies.must_send_proxy_header(peer) {
            let _slot = self.idle.enter(None, &close);
            let named = tokio::select! {
                named = timeout_at(deadline, proxied(&mut stream)) => named??,
                () = close.notified() => return Ok(()),
            };
            client = named.unwrap_or(client);
        }
        let is_limited = !self.limits.exempts(client) && !self.proxies.may_name_clients(client);
        let address = is_limited.then(|| Network::of(client));
        let slot = self.idle.enter(address, &close);
        let tracker = IdleTracker::new(Arc::clone(&self.idle), address, close, slot);
        let handoff = Handoff::default();
        let service = service_fn(|request: Request<Incoming>| {
            let guard = tracker.begin_request();
            let client_ip = self.proxies.client_ip(client, request.headers());
            let permit = self.requests.begin(client_ip);
            let agent = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
            let is_firefox = agent.windows(8).any(|part| part == b"Firefox/");
            let handoff = handoff.clone();
            let connection = permit.map(|_permit| Connection { client_ip, is_firefox, handoff, _permit });
            let response = (self.answer)(request, connection);
            async move {
                let response = response.await.map(Full::new);
                drop(guard);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        // Dropped before the connection, whose request may still be in progress.
        let leaving = tracker.leave_on_drop();
        // hyper has a deadline for each head too. This one includes the time before hyper saw the connection.
        let mut overdue = pin!(async {
            sleep_until(deadline).await;
            if tracker.has_been_requested() {
                std::future::pending().await
            }
        });
        let mut stopping = false;
        let NewViewer { feed, response, attachment, refusal } = loop {
            tokio::select! {
                biased;
                viewer = handoff.receive() => break viewer,
                ended = &mut connection => return ended.map_err(Error::other),
                () = tracker.must_close() => return Ok(()),
                () = &mut overdue => return Err(ErrorKind::TimedOut.into()),
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        drop(leaving);
        // Of answers before it nothing is left: hyper reads the next request when the socket has taken them.
        let socket = connection.into_parts().io.into_inner().into_std()?;
        if let Err(rejected) = feed.adopt(socket, written(&response).into(), attachment) {
            tracing::debug!("a viewer was rejected: {}", rejected.rejection);
            refuse(rejected.socket, refusal.map(Full::new)).await;
        }
        Ok(())
    }
}

/// Reads a PROXY header, to its last byte and no further. Returns the client that it names; a load balancer's own check
/// names none.
async fn proxied(stream: &mut TcpStream) -> Result<Option<IpAddr>> {
    let mut bytes = vec![0; MAX_HEADER_BYTES];
    loop {
        let read = stream.peek(&mut bytes).await?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some((header_bytes, proxied)) = parse(&bytes[..read]).map_err(Error::other)? {
            stream.read_exact(&mut bytes[..header_bytes]).await?;
            return Ok(proxied.source.map(|source| source.ip()));
        }
        tokio::time::sleep(PARTS_PAUSE).await;
    }
}
