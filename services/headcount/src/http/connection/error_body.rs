//! hyper by itself answers a head that it cannot read, with a status and no body. On the way to the socket that answer is
//! given its sentence, as every other refusal has one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::proxy_protocol::RewindStream;

/// What stands in such an answer, and in none of ours: those with a status of 4xx have a body.
const EMPTY: &str = "content-length: 0\r\n";

/// A connection whose refusals all say why.
pub(in crate::http) struct ErrorBodyStream {
    io: RewindStream,
    /// What is still to be written of an answer that was given its sentence.
    left: Bytes,
}

impl ErrorBodyStream {
    /// Around a connection that nothing has been written to.
    pub(in crate::http) fn new(io: RewindStream) -> Self {
        Self { io, left: Bytes::new() }
    }

    /// The connection itself.
    pub(in crate::http) fn into_inner(self) -> RewindStream {
        self.io
    }

    fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// An answer of hyper's own, with its sentence; `None` for everything else.
fn with_error_body(answer: &[u8]) -> Option<Bytes> {
    if !answer.starts_with(b"HTTP/1.") || !answer.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(answer).ok()?;
    let sentence = match head.get(9..12)? {
        "400" => "This is no request that can be understood here: its head is malformed.\n",
        "414" => "The address is too long: a request's head may have 8 KiB.\n",
        "431" => "The request's head is too large: it may have 8 KiB and 64 headers.\n",
        _ => return None,
    };
    let (before, after) = head.split_once(EMPTY)?;
    let length = sentence.len();
    Some(
        format!(
            "{before}content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\ncontent-length: {length}\r\n\
             {after}{sentence}"
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
        ready!(self.poll_left(context))?;
        let Some(answer) = with_error_body(bytes) else { return Pin::new(&mut self.io).poll_write(context, bytes) };
        self.left = answer;
        // What the socket does not take now goes with the flush, which hyper waits for before it closes.
        let _ = self.poll_left(context)?;
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
        ready!(self.poll_left(context))?;
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_left(context))?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_left(context))?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_refusals_are_given_a_sentence() {
        let answer = with_error_body(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .expect("it is");
        let answer = std::str::from_utf8(&answer).expect("text");
        let (head, sentence) = answer.split_once("\r\n\r\n").expect("a head");
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
