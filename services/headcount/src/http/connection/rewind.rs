//! A connection whose first bytes have been read already and are read again, now or by another program: until something is
//! written, it can be handed over as if nothing had been read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::unread::UnreadResponses;

/// Whether a connection can still be handed over: nothing has been written, and not too much has been read.
#[derive(Clone, Default)]
pub(super) struct Untouched(Arc<AtomicBool>);

impl Untouched {
    /// Whether it can.
    pub(super) fn is_so(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// Most bytes that are kept to be read again: a request's head, which has at most 8 KiB, and as much of what follows.
const MAX_KEPT: usize = 16 << 10;

/// A stream that returns `read` before it reads from the socket.
pub(super) struct RewindStream {
    read: Bytes,
    /// All that has been read, while the connection is untouched.
    kept: BytesMut,
    untouched: Untouched,
    stream: TcpStream,
    /// Learns whether the socket takes bytes.
    unread: Arc<UnreadResponses>,
}

impl RewindStream {
    /// Wraps `stream`, from which `read` has been read already.
    pub(super) fn new(read: Bytes, stream: TcpStream, unread: Arc<UnreadResponses>, untouched: Untouched) -> Self {
        Self { read, kept: BytesMut::new(), untouched, stream, unread }
    }

    /// Returns the socket, and all that was read from it if it is untouched.
    pub(super) fn into_parts(mut self) -> (TcpStream, Bytes) {
        self.kept.extend_from_slice(&self.read);
        (self.stream, self.kept.freeze())
    }

    fn touched(&mut self) {
        if self.untouched.is_so() {
            self.untouched.0.store(true, Ordering::Relaxed);
            self.kept = BytesMut::new();
        }
    }

    /// Keeps what has been read into a buffer behind its first `before` bytes.
    fn keep(&mut self, into: &ReadBuf<'_>, before: usize) {
        let new = &into.filled()[before..];
        if self.kept.len() + new.len() > MAX_KEPT {
            self.touched();
        }
        if self.untouched.is_so() {
            self.kept.extend_from_slice(new);
        }
    }
}

impl AsyncRead for RewindStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if self.read.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_read(context, into);
            self.keep(into, before);
            return polled;
        }
        let bytes = self.read.len().min(into.remaining());
        into.put_slice(&self.read.split_to(bytes));
        self.keep(into, before);
        if self.read.is_empty() {
            // Frees the buffer behind it.
            self.read = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RewindStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.touched();
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unread.socket_written(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.touched();
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unread.socket_written(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
