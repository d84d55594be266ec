//! Reads a connection's first bytes: a PROXY header where one is required, and whether the client speaks HTTP/2.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::proxy_protocol::{self, MalformedHeader, Proxied};

/// A client's first bytes if it speaks HTTP/2 with prior knowledge (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a connection must begin with a PROXY header. The header is never optional: behind a proxy that sends none, a
/// client could send one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyHeader {
    /// The connection comes from a trusted proxy and must begin with a header.
    Required,
    /// The connection begins with HTTP; a header is a malformed request.
    Absent,
}

/// A connection whose protocol is known.
pub(super) struct Detected {
    /// What the PROXY header says, if there is one.
    pub(super) proxied: Proxied,
    /// Whether the client speaks HTTP/2.
    pub(super) http2: bool,
    /// The client's first bytes of HTTP.
    pub(super) read: Bytes,
    /// The connection behind them.
    pub(super) stream: TcpStream,
}

/// Why a connection is closed before HTTP.
#[derive(Debug, thiserror::Error)]
pub(super) enum DetectError {
    /// The connection failed or ended.
    #[error("the connection ended: {0}")]
    Ended(#[from] io::Error),
    /// A trusted proxy did not send a well-formed header.
    #[error(transparent)]
    ProxyHeader(#[from] MalformedHeader),
}

/// Reads the first bytes. The caller sets a deadline.
///
/// # Errors
/// Fails if the connection ends first, or if a required PROXY header is missing or malformed.
pub(super) async fn detect(mut stream: TcpStream, proxy_header: ProxyHeader) -> Result<Detected, DetectError> {
    let mut read = BytesMut::with_capacity(512);
    let mut proxied = Proxied::default();
    if proxy_header == ProxyHeader::Required {
        loop {
            read_more(&mut stream, &mut read).await?;
            if let Some((bytes, header)) = proxy_protocol::parse(&read)? {
                proxied = header;
                read.advance(bytes);
                break;
            }
        }
    }
    while read.is_empty() || (read.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&read)) {
        read_more(&mut stream, &mut read).await?;
    }
    let http2 = read.starts_with(HTTP2_PREFACE);
    Ok(Detected { proxied, http2, read: read.freeze(), stream })
}

async fn read_more(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<()> {
    if stream.read_buf(read).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
