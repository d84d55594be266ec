//! HTTP/1 over plain sockets: requests as bytes, and whole responses.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use headcount_testkit::Node;

use crate::node::PATIENCE;

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Answer {
        let blank = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let blank = blank.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        Answer { head: String::from_utf8(bytes[..blank].to_vec()).unwrap(), body: bytes[blank + 4..].to_vec() }
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
    }

    /// Returns a header's value. Names are compared without case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// Returns the body, which must be one plain sentence on one line.
    pub(crate) fn sentence(&self) -> &str {
        assert_eq!(self.header("content-type"), Some("text/plain; charset=utf-8"), "{self:?}");
        let sentence = self.text().strip_suffix('\n').expect("a line");
        assert!(sentence.ends_with('.') && !sentence.contains('\n') && sentence.len() > 10, "{sentence:?}");
        sentence
    }
}

/// Connects with timeouts for reading and writing.
pub(crate) fn connect(node: &Node) -> TcpStream {
    let socket = TcpStream::connect(node.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends bytes and reads until the node closes. After a reset, returns what had arrived.
pub(crate) fn send(node: &Node, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(node);
    // The node may close before everything is sent.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the node does not close"),
        _ => answer,
    }
}

/// Sends a request with additional headers and returns the response.
pub(crate) fn request(node: &Node, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", node.address());
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    Answer::read(&send(node, bytes.as_bytes()))
}

/// Sends `GET path` and returns the response.
pub(crate) fn get(node: &Node, path: &str) -> Answer {
    request(node, "GET", path, &[])
}
