//! Reads a connection's first bytes: a PROXY header where one is required, and whether the client speaks HTTP/2.

use std::io;

use bytes::BytesMut;
use headcount_connection::{MalformedHeader, Proxied, parse_proxy_header};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

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

/// What the first bytes tell.
pub(super) struct Detected {
    /// What the PROXY header says, if there is one.
    pub(super) proxied: Proxied,
    /// The bytes of that header. The client's first bytes of HTTP follow.
    pub(super) header_bytes: usize,
    /// Whether the client speaks HTTP/2.
    pub(super) http2: bool,
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

/// Reads the first bytes, behind those that `read` has already. The caller sets a deadline; whenever that ends it, `read` has
/// everything that came.
///
/// # Errors
/// Fails if the connection ends first, or if a required PROXY header is missing or malformed.
pub(super) async fn detect(
    stream: &mut TcpStream,
    read: &mut BytesMut,
    proxy_header: ProxyHeader,
) -> Result<Detected, DetectError> {
    let (header_bytes, proxied) = match proxy_header {
        ProxyHeader::Absent => (0, Proxied::default()),
        ProxyHeader::Required => loop {
            if !read.is_empty()
                && let Some(header) = parse_proxy_header(read)?
            {
                break header;
            }
            read_more(stream, read).await?;
        },
    };
    loop {
        let http = &read[header_bytes..];
        if !http.is_empty() && (http.len() >= HTTP2_PREFACE.len() || !HTTP2_PREFACE.starts_with(http)) {
            return Ok(Detected { proxied, header_bytes, http2: http.starts_with(HTTP2_PREFACE) });
        }
        read_more(stream, read).await?;
    }
}

async fn read_more(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<()> {
    if stream.read_buf(read).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
