//! Passes a new viewer from its request's handler to the connection's task, which stops driving hyper and moves the
//! socket into the engine; and refuses a viewer that the engine rejects then.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, header};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Most bytes of a refusal's body.
const MAX_REFUSAL_BYTES: usize = 1024;

/// A slot for one viewer. Clones share it.
pub struct Handoff<V>(Arc<Slot<V>>);

struct Slot<V> {
    viewer: Mutex<Option<V>>,
    filled: Notify,
}

impl<V> Handoff<V> {
    /// Puts a viewer into the slot. The caller must not return a response afterwards: hyper would write it to the
    /// socket.
    pub fn send(&self, viewer: V) {
        *self.0.viewer.lock() = Some(viewer);
        self.0.filled.notify_one();
    }

    /// Waits for a viewer.
    pub async fn receive(&self) -> V {
        loop {
            self.0.filled.notified().await;
            if let Some(viewer) = self.0.viewer.lock().take() {
                return viewer;
            }
        }
    }
}

impl<V> Default for Handoff<V> {
    fn default() -> Self {
        Self(Arc::new(Slot { viewer: Mutex::new(None), filled: Notify::new() }))
    }
}

impl<V> Clone for Handoff<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Answers on a viewer's socket, which hyper has given up and nothing has been written to, and closes it. The refusal has at
/// most a kilobyte.
pub async fn refuse<B>(mut socket: TcpStream, refusal: Response<B>)
where
    B: http_body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let (mut head, body) = refusal.into_parts();
    let body = Limited::new(body, MAX_REFUSAL_BYTES).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    // The socket's buffer is empty, so it takes all of it, unless the client has left.
    let _ = socket.write_all(&written(&Response::from_parts(head, body)));
}

/// A response as its connection's last bytes.
pub(crate) fn written(response: &Response<Bytes>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    bytes.extend_from_slice(response.body());
    bytes
}
