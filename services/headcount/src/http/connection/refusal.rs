//! Refuses a viewer whose socket hyper has already given up: writes the response itself.

use std::io::Write as _;
use std::net::TcpStream;

use axum::response::Response;

/// Most bytes of a refusal's sentence.
const MAX_SENTENCE_BYTES: usize = 1024;

/// Answers on a viewer's socket, which nothing has been written to, and closes it.
pub(super) async fn refuse(mut socket: TcpStream, refusal: Response) {
    let (head, body) = refusal.into_parts();
    let sentence = axum::body::to_bytes(body, MAX_SENTENCE_BYTES).await.unwrap_or_default();
    let mut response = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        response.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    response.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", sentence.len()).as_bytes());
    response.extend_from_slice(&sentence);
    // The socket's buffer is empty, so it takes all of it, unless the client has left.
    let _ = socket.write_all(&response);
}
