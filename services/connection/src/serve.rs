//! [`accept`]: serves each connection until hyper is done, or the engine takes its socket over.

use std::io::{Error, ErrorKind, Result, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headcount_engine::{Attachment, FeedHandle};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::TrustedProxies;
use crate::proxy_protocol::{MAX_HEADER_BYTES, parse};

/// Time within which a PROXY header, and each request's head, must be complete.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause until a PROXY header that came in parts is looked at again. Load balancers send it in one.
const PARTS_PAUSE: Duration = Duration::from_millis(10);
/// Connections that hyper serves at the same time; further ones wait in the kernel.
const MAX_CONNECTIONS: usize = 1_000;
/// Pause after a failed accept. Descriptors come back as viewers leave.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// Largest request head. hyper accepts no smaller limit.
const MAX_HEAD_BYTES: usize = 8192;
/// Most headers in a request.
const MAX_HEADERS: usize = 64;
/// Answers a viewer after the last place has gone to another one.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
                      There is no room; try again in 5 seconds.\n";

/// A viewer without its socket.
pub struct NewViewer<A> {
    /// What it sees.
    pub feed: FeedHandle<A>,
    /// The response's head and the stream's opening.
    pub head: Bytes,
    /// What the engine keeps with it.
    pub attachment: A,
}

/// A request's connection.
pub struct Connection<A> {
    peer: IpAddr,
    proxies: Arc<TrustedProxies>,
    handoff: mpsc::Sender<NewViewer<A>>,
}

impl<A> Connection<A> {
    /// The client's address, as named by trusted proxies in `headers` if the request came through one.
    pub fn client_ip(&self, headers: &HeaderMap) -> IpAddr {
        self.proxies.client_ip(self.peer, headers)
    }

    /// Makes the connection a viewer's. Never returns: hyper would write an answer.
    pub async fn hand_over(self, viewer: NewViewer<A>) -> ! {
        // Fails if the connection has just ended.
        let _ = self.handoff.send(viewer).await;
        std::future::pending().await
    }
}

/// Accepts connections until `stop` is cancelled, and has each request answered by `answer`. Connections then end after their
/// current request.
pub async fn accept<A, B, F>(
    listener: TcpListener,
    proxies: TrustedProxies,
    stop: CancellationToken,
    answer: impl Fn(Connection<A>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    A: Attachment,
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    F: Future<Output = Response<B>> + Send,
{
    let (proxies, permits) = (Arc::new(proxies), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    while let Some(permit) = stop.run_until_cancelled(Arc::clone(&permits).acquire_owned()).await {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { return };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(FAILURE_PAUSE).await;
            continue;
        };
        let (proxies, stop, answer) = (Arc::clone(&proxies), stop.clone(), answer.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(stream, peer, proxies, stop, answer).await {
                tracing::debug!("a connection ended: {error}");
            }
            drop(permit);
        });
    }
}

async fn serve<A, B, F>(
    mut stream: TcpStream,
    peer: std::net::SocketAddr,
    proxies: Arc<TrustedProxies>,
    stop: CancellationToken,
    answer: impl Fn(Connection<A>, Request<Incoming>) -> F,
) -> Result<()>
where
    A: Attachment,
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    F: Future<Output = Response<B>> + Send,
{
    // Otherwise a response's body waits for the acknowledgement of its head.
    stream.set_nodelay(true)?;
    let mut client = peer.ip();
    if proxies.must_send_proxy_header(peer) {
        let named = tokio::time::timeout(HEAD_TIMEOUT, proxied(&mut stream)).await??;
        client = named.unwrap_or(client);
    }
    let (handoff, mut viewers) = mpsc::channel(1);
    let service = service_fn(|request| {
        let connection = Connection { peer: client, proxies: Arc::clone(&proxies), handoff: handoff.clone() };
        let response = answer(connection, request);
        async { Ok::<_, std::convert::Infallible>(response.await) }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let NewViewer { feed, head, attachment } = loop {
        tokio::select! {
            biased;
            Some(viewer) = viewers.recv() => break viewer,
            ended = &mut connection => return ended.map_err(Error::other),
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    // Of answers before it nothing is left: hyper reads the next request when the socket has taken them.
    let socket = connection.into_parts().io.into_inner().into_std()?;
    if let Err(mut rejected) = feed.adopt(socket, head, attachment) {
        tracing::debug!("a viewer was rejected: {}", rejected.rejection);
        rejected.socket.write_all(FULL)?;
    }
    Ok(())
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
