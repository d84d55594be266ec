//! Adds a body to hyper's own error responses. hyper answers a head that it cannot parse with a status and no body; every
//! other error here has a sentence.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::rewind::RewindStream;

/// Part of each of hyper's own error responses. Ours never contain it: every 4xx response has a body.
const EMPTY: &str = "content-length: 0\r\n";

/// A stream that adds a body to error responses written without one.
pub(super) struct ErrorBodyStream {
    io: RewindStream,
    /// Bytes of a rewritten response that are still to be written.
    pending: Bytes,
}

impl ErrorBodyStream {
    /// Wraps a connection that nothing has been written to.
    pub(super) fn new(io: RewindStream) -> Self {
        Self { io, pending: Bytes::new() }
    }

    /// Returns the connection.
    pub(super) fn into_inner(self) -> RewindStream {
        self.io
    }

    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Returns the response with a body if it is one of hyper's own error responses, `None` otherwise.
fn with_error_body(response: &[u8]) -> Option<Bytes> {
    if !response.starts_with(b"HTTP/1.") || !response.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(response).ok()?;
    let sentence = match head.get(9..12)? {
        "400" => "The request is malformed.\n",
        "414" => "The address is too long: a request's head may have 8 KiB.\n",
        "431" => "The request's head is too large: it may have 8 KiB and 64 headers.\n",
        _ => return None,
    };
    let (before, after) = head.split_once(EMPTY)?;
    let length = sentence.len();
    Some(
        format!(
            "{before}content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
             access-control-allow-origin: *\r\ncross-origin-resource-policy: cross-origin\r\n\
             x-content-type-options: nosniff\r\ncontent-length: {length}\r\n{after}{sentence}"
        )
        .into(),
    )
}

impl AsyncRead for ErrorBodyStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, into)
    }
}

impl AsyncWrite for ErrorBodyStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(context))?;
        let Some(response) = with_error_body(bytes) else { return Pin::new(&mut self.io).poll_write(context, bytes) };
        self.pending = response;
        // The flush writes what the socket does not take now. hyper waits for it before it closes.
        let _ = self.poll_pending(context)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            return self.poll_write(context, only);
        }
        ready!(self.poll_pending(context))?;
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context))?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context))?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_error_responses_get_a_body() {
        let response = with_error_body(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .expect("a body");
        let response = std::str::from_utf8(&response).expect("text");
        let (head, sentence) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.ends_with(&format!("content-length: {}\r\nconnection: close", sentence.len())), "{head}");
        for other in [
            &b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 10\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"some other bytes\r\n\r\n",
        ] {
            assert_eq!(with_error_body(other), None, "{:?}", String::from_utf8_lossy(other));
        }
    }
}
