//! [`SilentViewer`]: a viewer whose machine can vanish.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use socket2::{SockFilter, SockRef};

use super::node_with_viewers::COUNTER;
use crate::Node;

/// The shortest program for the kernel's packet filter: `return 0` (`BPF_RET | BPF_K`), accept no packet.
const ACCEPT_NOTHING: u16 = 0x06;

/// A viewer that has read the beginning of its stream, and reads no further.
#[derive(Debug)]
pub struct SilentViewer(TcpStream);

impl SilentViewer {
    /// Opens a stream, and waits until the response has begun.
    ///
    /// # Errors
    /// If there is no connection, or the response is not 200.
    pub fn open(node: &Node) -> io::Result<Self> {
        let mut stream = TcpStream::connect(node.address())?;
        write!(stream, "GET /{COUNTER}.png HTTP/1.1\r\nHost: {}\r\n\r\n", node.address())?;
        let mut begun = [0; 512];
        stream.read_exact(&mut begun)?;
        if begun.starts_with(b"HTTP/1.1 200") {
            Ok(Self(stream))
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&begun).into_owned()))
        }
    }

    /// From now on the kernel drops every packet to this viewer, and acknowledges none: not even by a reset.
    ///
    /// # Errors
    /// If the kernel refuses the filter.
    pub fn vanish(&self) -> io::Result<()> {
        SockRef::from(&self.0).attach_filter(&[SockFilter::new(ACCEPT_NOTHING, 0, 0, 0)])
    }
}
