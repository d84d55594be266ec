//! [`Crowd`]: the viewers of all counters. Each knows its visitor, and leaves when it is asked to.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use headcount_testkit::BALANCER;
use socket2::{Domain, Socket, Type};

use super::truth::{Member, Truth};

/// The first visitor's address: 198.18.0.0/15 is reserved for measurements (RFC 2544).
const FIRST_VISITOR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// How long a viewer waits for its first picture.
const PATIENCE: Duration = Duration::from_secs(10);

/// What ends the first picture, a PNG.
const END_OF_PICTURE: &[u8] = b"IEND";

/// Where viewers connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) node: usize,
    pub(super) address: SocketAddr,
}

/// Requests a stream as a visitor's browser does, through the load balancer.
pub(super) fn request(address: SocketAddr, path: &str, visitor: u32) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((BALANCER, 0)).into())?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let client = Ipv4Addr::from_bits(FIRST_VISITOR.to_bits() + visitor);
    let proxy = format!("PROXY TCP4 {client} {} 40000 {}\r\n", address.ip(), address.port());
    let get = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: soak\r\n\r\n");
    stream.write_all(format!("{proxy}{get}").as_bytes())?;
    Ok(stream)
}

#[derive(Debug)]
struct Viewer {
    counter: usize,
    node: usize,
    visitor: u32,
    member: Member,
    stream: TcpStream,
}

/// A viewer whose stream ended although it did not leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) counter: usize,
    pub(super) node: usize,
    pub(super) visitor: u32,
}

/// The viewers, the longest open first.
pub(super) struct Crowd {
    truth: Arc<Truth>,
    names: Vec<String>,
    viewers: Vec<Viewer>,
    buffer: Vec<u8>,
}

impl Crowd {
    pub(super) fn new(truth: Arc<Truth>, names: Vec<String>) -> Self {
        Self { truth, names, viewers: Vec::new(), buffer: vec![0; 1 << 16] }
    }

    /// Opens a viewer, and waits until it has seen a picture.
    pub(super) fn open(&mut self, counter: usize, target: Target, visitor: u32) -> io::Result<()> {
        let member = self.truth.opening(counter, target.node, visitor);
        let outcome = self.await_picture(counter, target, visitor);
        let Ok(stream) = outcome else {
            self.truth.closed(member);
            return outcome.map(drop);
        };
        self.truth.opened(member);
        self.viewers.push(Viewer { counter, node: target.node, visitor, member, stream });
        Ok(())
    }

    fn await_picture(&mut self, counter: usize, target: Target, visitor: u32) -> io::Result<TcpStream> {
        let mut stream = request(target.address, &format!("/{}.png", self.names[counter]), visitor)?;
        let mut seen = Vec::new();
        while !seen.windows(END_OF_PICTURE.len()).any(|bytes| bytes == END_OF_PICTURE) {
            match stream.read(&mut self.buffer)? {
                0 => return Err(io::Error::other(String::from_utf8_lossy(&seen).into_owned())),
                count => seen.extend_from_slice(&self.buffer[..count]),
            }
        }
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// The number of a counter's viewers.
    pub(super) fn count(&self, counter: usize) -> usize {
        self.viewers.iter().filter(|viewer| viewer.counter == counter).count()
    }

    /// The counter's oldest viewer: its node and visitor.
    pub(super) fn oldest(&self, counter: usize) -> Option<(usize, u32)> {
        let viewer = self.viewers.iter().find(|viewer| viewer.counter == counter)?;
        Some((viewer.node, viewer.visitor))
    }

    /// Closes a counter's oldest viewers, of those at nodes that are `included`.
    pub(super) fn leave(&mut self, counter: usize, mut viewers: usize, included: impl Fn(usize) -> bool) {
        let truth = &self.truth;
        self.viewers.retain(|viewer| {
            let leaves = viewers > 0 && viewer.counter == counter && included(viewer.node);
            if leaves {
                viewers -= 1;
                // First, or the number could be shown before it is true.
                truth.closed(viewer.member);
                let _ = viewer.stream.shutdown(std::net::Shutdown::Both);
            }
            !leaves
        });
    }

    /// Reads what has come, and returns the viewers whose streams have ended.
    pub(super) fn read(&mut self) -> Vec<Ended> {
        let Self { truth, viewers, buffer, .. } = self;
        let mut ended = Vec::new();
        viewers.retain_mut(|viewer| {
            loop {
                match viewer.stream.read(buffer) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => break,
                }
            }
            truth.closed(viewer.member);
            ended.push(Ended { counter: viewer.counter, node: viewer.node, visitor: viewer.visitor });
            false
        });
        ended
    }
}
