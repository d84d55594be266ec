//! The HTTP requests that a peer of this program reads.

use bytes::Bytes;

/// One request of a peer that is part of this program.
pub(super) struct Request {
    pub(super) posted: Option<Bytes>,
}

/// Reads a request: the body of a POST, or that it is a GET.
pub(super) fn read_request(stream: &mut impl std::io::Read) -> std::io::Result<Request> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some(end) = text.find("\r\n\r\n") else { continue };
        if !text.starts_with("POST") {
            return Ok(Request { posted: None });
        }
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
        let due = end + 4 + length.unwrap_or(0);
        if bytes.len() >= due {
            return Ok(Request { posted: Some(Bytes::copy_from_slice(&bytes[end + 4..due])) });
        }
    }
}
