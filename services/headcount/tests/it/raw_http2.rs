//! HTTP/2 as bytes, for clients that no library would be: without room for what they ask for.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use headcount_testkit::Node;

use crate::exchange::connect;

const SETTINGS: u8 = 4;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
/// END_STREAM and END_HEADERS.
const WHOLE_REQUEST: u8 = 0x5;

/// A connection whose streams begin with a given flow-control window.
pub(crate) struct RawHttp2 {
    socket: TcpStream,
    next_stream: u32,
    /// Bytes of frames that are not whole yet.
    unread: Vec<u8>,
}

impl RawHttp2 {
    /// Connects. Each stream may receive `window` bytes.
    pub(crate) fn connect(node: &Node, window: u32) -> RawHttp2 {
        let mut socket = connect(node);
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // SETTINGS_INITIAL_WINDOW_SIZE.
        bytes.extend(frame(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat()));
        // The acknowledgement of the node's settings.
        bytes.extend(frame(SETTINGS, 1, 0, &[]));
        // A node that closes early is seen when the test reads.
        let _ = socket.write_all(&bytes);
        RawHttp2 { socket, next_stream: 1, unread: Vec::new() }
    }

    /// Requests `path` and returns the stream's number. Fails if the node has closed the connection.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        // `:method GET`, `:scheme http`, and two literals with the names `:path` and `:authority` (RFC 7541, A and 6.2.2).
        let mut block = vec![0x82, 0x86, 0x04];
        block.extend(text(path));
        block.push(0x01);
        block.extend(text("count.example"));
        self.socket.write_all(&frame(HEADERS, WHOLE_REQUEST, stream, &block))?;
        Ok(stream)
    }

    /// Lets a stream receive `bytes` more.
    pub(crate) fn allow(&mut self, stream: u32, bytes: u32) {
        self.socket.write_all(&frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())).unwrap();
    }

    /// Reads until this many responses have begun, or until the node has closed. Returns how many have.
    pub(crate) fn heads(&mut self, count: usize, patience: Duration) -> usize {
        let mut heads = 0;
        self.read(patience, |kind, _, _| {
            heads += usize::from(kind == HEADERS);
            heads >= count
        });
        heads
    }

    /// Reads the stream's data until `enough` says so, or until nothing has come for `patience`.
    pub(crate) fn data(&mut self, stream: u32, patience: Duration, mut enough: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let mut data = Vec::new();
        self.read(patience, |kind, of, payload| {
            if kind == DATA && of == stream {
                data.extend_from_slice(payload);
            }
            enough(&data)
        });
        data
    }

    /// Calls `on_frame` with the kind, the stream and the payload of each frame until it returns true, or until nothing has
    /// come for `patience`.
    fn read(&mut self, patience: Duration, mut on_frame: impl FnMut(u8, u32, &[u8]) -> bool) {
        let mut bytes = [0; 16 << 10];
        self.socket.set_read_timeout(Some(patience)).unwrap();
        loop {
            // A frame has a head of nine bytes.
            while let Some(&[high, middle, low, kind, _, a, b, c, d]) = self.unread.first_chunk()
                && let end = 9 + u32::from_be_bytes([0, high, middle, low]) as usize
                && self.unread.len() >= end
            {
                let rest = self.unread.split_off(end);
                let frame = std::mem::replace(&mut self.unread, rest);
                if on_frame(kind, u32::from_be_bytes([a, b, c, d]), &frame[9..]) {
                    return;
                }
            }
            match self.socket.read(&mut bytes) {
                Ok(read) if read > 0 => self.unread.extend_from_slice(&bytes[..read]),
                _ => return,
            }
        }
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A string, not Huffman-coded, after its length as an integer with a prefix of 7 bits (RFC 7541 §5.1).
fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len() {
        length @ ..127 => bytes.push(length as u8),
        length => {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push(rest as u8 % 128 + 128);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
