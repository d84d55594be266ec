//! What comes before HTTP on a connection: the PROXY header of a load balancer, and the first bytes, which say whether
//! the client speaks HTTP/2 with prior knowledge.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A client's first bytes where it speaks HTTP/2 with prior knowledge (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How a header of version 1 begins, and the longest that there is, with its end.
const V1_PREFIX: &[u8] = b"PROXY ";
const MAX_V1_BYTES: usize = 107;
/// Longest PROXY header accepted. Version 2 carries addresses and TLVs, which are some
/// hundred bytes even with a TLS client's names.
const MAX_PROXY_BYTES: usize = 2048;

/// A connection whose preamble has been read.
pub(in crate::http) struct Preamble {
    /// The client, where a PROXY header names one.
    pub(in crate::http) source: Option<SocketAddr>,
    /// Whether HTTP/2 follows.
    pub(in crate::http) http2: bool,
    /// The connection, with what was read too far.
    pub(in crate::http) io: RewindStream,
}

/// Why a connection is closed before HTTP.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreambleError {
    /// The connection failed or ended.
    #[error("the connection ended: {0}")]
    Ended(#[from] io::Error),
    /// A trusted proxy did not send the header that it was configured for.
    #[error("no PROXY header, or a malformed one, came from a proxy that must send one")]
    Proxy,
}

/// Reads the preamble. The caller sets a deadline.
///
/// # Errors
/// [`PreambleError`].
pub(in crate::http) async fn read(mut stream: TcpStream, proxy_header: Expected) -> Result<Preamble, PreambleError> {
    let mut read = BytesMut::with_capacity(512);
    let mut source = None;
    if proxy_header == Expected::Required {
        loop {
            more(&mut stream, &mut read).await?;
            if let Some((bytes, address)) = parse_proxy(&read)? {
                source = address;
                read.advance(bytes);
                break;
            }
        }
    }
    while read.is_empty() || (read.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&read)) {
        more(&mut stream, &mut read).await?;
    }
    let http2 = read.starts_with(HTTP2_PREFACE);
    Ok(Preamble { source, http2, io: RewindStream { read: read.freeze(), stream } })
}

/// Whether a connection must begin with a PROXY header. There is no "may": a header that is optional could be written
/// by the client of a proxy that sends none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Expected {
    /// It comes from a trusted proxy.
    Required,
    /// It does not; a header is a malformed request.
    None,
}

async fn more(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<()> {
    if stream.read_buf(read).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// The header's length and the client it names; `None` until it is whole. A header without an address (a load
/// balancer's own health check) names nobody.
pub(crate) fn parse_proxy(bytes: &[u8]) -> Result<Option<(usize, Option<SocketAddr>)>, PreambleError> {
    // The parser takes some of version 1's lines that end too soon for malformed ones, and some whose CR is followed by
    // anything for whole ones: it is given whole lines alone.
    if bytes.starts_with(V1_PREFIX) {
        let line = &bytes[..bytes.len().min(MAX_V1_BYTES)];
        return match line.windows(2).position(|end| end == b"\r\n") {
            Some(end) => parse_line(&line[..end + 2]).map(Some),
            None if bytes.len() < MAX_V1_BYTES => Ok(None),
            None => Err(PreambleError::Proxy),
        };
    }
    let header = HeaderResult::parse(bytes);
    if header.is_incomplete() && bytes.len() < MAX_PROXY_BYTES {
        return Ok(None);
    }
    match header {
        HeaderResult::V2(Ok(header)) if header.header.len() > MAX_PROXY_BYTES => Err(PreambleError::Proxy),
        HeaderResult::V2(Ok(header)) => {
            let source = match (header.command, header.addresses) {
                (v2::Command::Local, _) => None,
                (_, v2::Addresses::IPv4(pair)) => Some((pair.source_address, pair.source_port).into()),
                (_, v2::Addresses::IPv6(pair)) => Some((pair.source_address, pair.source_port).into()),
                (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
            };
            Ok(Some((header.header.len(), source)))
        }
        HeaderResult::V1(_) | HeaderResult::V2(Err(_)) => Err(PreambleError::Proxy),
    }
}

/// The same for a whole line of version 1.
fn parse_line(line: &[u8]) -> Result<(usize, Option<SocketAddr>), PreambleError> {
    let header = v1::Header::try_from(line).map_err(|_| PreambleError::Proxy)?;
    if header.header.len() != line.len() {
        return Err(PreambleError::Proxy);
    }
    let source = match header.addresses {
        v1::Addresses::Tcp4(pair) => Some((pair.source_address, pair.source_port).into()),
        v1::Addresses::Tcp6(pair) => Some((pair.source_address, pair.source_port).into()),
        v1::Addresses::Unknown => None,
    };
    Ok((line.len(), source))
}

/// A connection that gives again what had been read from it.
#[derive(Debug)]
pub(in crate::http) struct RewindStream {
    read: Bytes,
    stream: TcpStream,
}

impl RewindStream {
    /// The connection alone, without what is still to be given again.
    pub(in crate::http) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for RewindStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let bytes = self.read.len().min(into.remaining());
        into.put_slice(&self.read.split_to(bytes));
        if self.read.is_empty() {
            // Lets go of the buffer behind it.
            self.read = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RewindStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
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
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
        parse_proxy(bytes).expect("a good header")
    }

    #[test]
    fn both_versions_name_the_client() {
        let v1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\nGET / HTTP/1.1\r\n";
        assert_eq!(source(v1), Some((41, Some("203.0.113.9:4711".parse().expect("an address")))));
        for cut in 0..41 {
            assert_eq!(source(&v1[..cut]), None, "{cut}");
        }
        let v2 = v2::Builder::with_addresses(
            v2::Version::Two | v2::Command::Proxy,
            v2::Protocol::Stream,
            ("[2001:db8::1]:9".parse::<SocketAddr>().expect("one"), "[::1]:80".parse::<SocketAddr>().expect("one")),
        )
        .build()
        .expect("a header");
        assert_eq!(source(&v2), Some((v2.len(), Some("[2001:db8::1]:9".parse().expect("an address")))));
        for cut in 0..v2.len() {
            assert_eq!(source(&v2[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_health_check_names_nobody() {
        assert_eq!(source(b"PROXY UNKNOWN\r\n"), Some((15, None)));
    }

    #[test]
    fn a_line_ends_with_both_its_bytes() {
        let lines = [&b"PROXY UNKNOWN a\r;b\r\n"[..], b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r;\r\n"];
        for line in lines {
            for cut in 0..line.len() {
                assert_eq!(source(&line[..cut]), None, "{:?}", String::from_utf8_lossy(&line[..cut]));
            }
            assert!(parse_proxy(line).is_err(), "{:?}", String::from_utf8_lossy(line));
        }
        let longest = [V1_PREFIX, b"UNKNOWN ", &[b'f'; MAX_V1_BYTES - 16], b"\r\n"].concat();
        assert_eq!(source(&longest), Some((MAX_V1_BYTES, None)));
        assert!(parse_proxy(&[b"PROXY UNKNOWN ", &[b'f'; MAX_V1_BYTES][..], b"\r\n"].concat()).is_err());
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 a b c d\r\n", &[b'P'; MAX_PROXY_BYTES]] {
            assert!(parse_proxy(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
