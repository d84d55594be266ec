//! Viewers of the tests, over plain sockets.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use bytes::Bytes;
use headcount_drawing::{Count, read_stamp};
use headcount_testkit::{Background, Node};
use headcount_wire::PartReader;

use crate::exchange::{Answer, connect};

/// One open stream over HTTP/1.
pub(crate) struct Stream {
    socket: TcpStream,
    /// The response's head.
    pub(crate) head: Answer,
    parts: PartReader,
}

impl Stream {
    /// Opens a stream and reads its head.
    pub(crate) fn open(node: &Node, path: &str) -> Stream {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", node.address());
        Stream::open_by(node, request.as_bytes())
    }

    /// Opens a stream with the given request.
    pub(crate) fn open_by(node: &Node, request: &[u8]) -> Stream {
        let mut socket = connect(node);
        socket.write_all(request).unwrap();
        Stream::read_head(socket)
    }

    /// Reads the head of a stream that has been requested.
    pub(crate) fn read_head(mut socket: TcpStream) -> Stream {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(byte(&mut socket));
        }
        let head = Answer::read(&head);
        assert_eq!(head.status(), 200, "{head:?}");
        let parts = PartReader::for_content_type(head.header("content-type").unwrap()).expect("a multipart stream");
        Stream { socket, head, parts }
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Returns the next whole picture, or `None` at the stream's clean end.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(part) = self.parts.next_part().unwrap() {
                return Some(part);
            }
            match self.socket.read(&mut bytes).expect("the stream goes on, or ends without a reset") {
                0 => {
                    assert!(self.parts.ended(), "a stream ends with the closing boundary");
                    return None;
                }
                read => self.parts.push(&bytes[..read]),
            }
        }
    }

    /// Reads until a picture shows this number, and returns it.
    pub(crate) fn wait_for(&mut self, count: u64) -> Bytes {
        loop {
            let part = self.next().expect("the stream goes on");
            if number(&part) == count {
                return part;
            }
        }
    }
}

/// Returns the number that a picture shows.
pub(crate) fn number(picture: &[u8]) -> u64 {
    match read_stamp(picture).unwrap().count {
        Count::Exactly(count) => count,
        Count::FewerThan(_) => panic!("the number is hidden"),
    }
}

/// Reads exactly `count` bytes.
pub(crate) fn bytes(socket: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

fn byte(socket: &mut TcpStream) -> u8 {
    bytes(socket, 1)[0]
}

/// A viewer that joins and leaves again and again, so that the number keeps changing, until dropped.
pub(crate) fn restless(node: &Node, path: &str) -> Background {
    let (address, path) = (node.address(), path.to_owned());
    Background::repeat((), move |()| {
        let Ok(mut socket) = TcpStream::connect(address) else { return };
        let _ = write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        thread::sleep(Duration::from_millis(60));
        drop(socket);
        thread::sleep(Duration::from_millis(60));
    })
}
