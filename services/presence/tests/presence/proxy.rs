//! A TCP proxy between a node and Redis that can keep a subscription open and deliver nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Passes everything on until it is told otherwise.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Connections with a number below this get nothing any more, if they have subscribed.
    muted_below: AtomicU64,
    connections: AtomicU64,
}

impl Proxy {
    pub(crate) async fn start(redis: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let all = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", redis)).await else { continue };
                let number = all.connections.fetch_add(1, Ordering::Relaxed);
                let has_subscribed = Arc::new(AtomicBool::new(false));
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(up(from_client, to_server, Arc::clone(&has_subscribed)));
                tokio::spawn(down(from_server, to_client, has_subscribed, Arc::clone(&all), number));
            }
        });
        Proxy { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The subscriptions of today deliver nothing from now on; those of tomorrow will.
    pub(crate) fn mute_subscriptions(&self) {
        self.shared.muted_below.store(self.shared.connections.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

async fn up(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, has_subscribed: Arc<AtomicBool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        if buffer[..length].windows(9).any(|window| window == b"SUBSCRIBE") {
            has_subscribed.store(true, Ordering::Relaxed);
        }
        if server.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn down(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    has_subscribed: Arc<AtomicBool>,
    shared: Arc<Shared>,
    number: u64,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = server.read(&mut buffer).await {
        let is_muted = has_subscribed.load(Ordering::Relaxed) && number < shared.muted_below.load(Ordering::Relaxed);
        if !is_muted && client.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
