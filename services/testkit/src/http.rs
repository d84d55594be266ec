//! One HTTP request with its whole answer, for a node's JSON, health and metrics.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::client::{Chunks, head};

/// How long a connection, a read or a write may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head with its blank line.
    pub head: String,
    /// The body without its chunk headers.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET path`.
///
/// # Errors
/// If there is no connection, or no HTTP answer within 5 s.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    ask(address, "GET", path, &[])
}

/// `POST path` with a body.
///
/// # Errors
/// If there is no connection, or no HTTP answer within 5 s.
pub fn post(address: SocketAddr, path: &str, body: &[u8]) -> io::Result<Answer> {
    ask(address, "POST", path, body)
}

fn ask(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n").into_bytes();
    if method == "POST" {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    stream.write_all(&request)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let head = head(&bytes).map_err(io::Error::other)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut rest = &bytes[head.bytes..];
    let mut body = Vec::new();
    if head.chunked {
        let mut chunks = Chunks::START;
        while !rest.is_empty() {
            body.extend_from_slice(chunks.payload(&mut rest).map_err(io::Error::other)?);
        }
    } else {
        body.extend_from_slice(rest);
    }
    Ok(Answer { status: head.status, head: String::from_utf8_lossy(&bytes[..head.bytes]).into_owned(), body })
}
