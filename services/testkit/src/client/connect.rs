//! Opens viewers: connects at the pace of their batch, and sends the request as soon as the connection is established.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
};

use mio::{Interest, Token};
use socket2::{Domain, Socket, Type};

use super::{
    command::{Batch, Direction},
    complaint::Complaint,
    pending::PendingBatch,
    target::Target,
    viewer::{Viewer, ViewerSpec},
    worker::Worker,
};
use crate::clock::now_ns;

/// The most viewers that wait for their first image when no rate is given. It is below every listen queue: a full queue
/// drops connections, and they retry only a second later.
const ASKING_AT_MOST: usize = 500;

/// Viewers with the same local address. Linux assigns every other port of its range of 28,000 first; when those are used
/// up, each connection searches them all before it takes one of the others.
const VIEWERS_PER_SOURCE: u32 = 8_000;

impl Worker {
    pub(super) fn open(&mut self, batch: Batch) {
        let mut specs = Vec::with_capacity(batch.urls.len());
        for url in &batch.urls {
            match Target::parse(url) {
                Ok(target) => specs.push(Rc::new(ViewerSpec { target, behaviour: batch.behaviour.clone() })),
                Err(error) => self.complain(&error.into()),
            }
        }
        if specs.is_empty() {
            self.statistics.snapshot.failed += batch.count;
            return;
        }
        self.statistics.snapshot.waiting += batch.count;
        self.pending.push(PendingBatch::new(specs, batch.count, batch.per_second, now_ns()));
    }

    /// Connects the viewers that are due.
    pub(super) fn connect_due(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let now = now_ns();
        for mut batch in std::mem::take(&mut self.pending) {
            let free = ASKING_AT_MOST.saturating_sub(self.statistics.snapshot.asking);
            for _ in 0..batch.due(now).min(free) {
                let spec = batch.next();
                self.statistics.snapshot.waiting -= 1;
                if let Err(error) = self.connect(spec) {
                    self.statistics.snapshot.failed += 1;
                    self.complain(&Complaint::Connect(error));
                }
            }
            if batch.left() > 0 {
                self.pending.push(batch);
            }
        }
    }

    fn connect(&mut self, spec: Rc<ViewerSpec>) -> io::Result<()> {
        let address = spec.target.address;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
        if let Some(bytes) = spec.behaviour.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = source(&spec, self.next_ordinal) {
            // The port is found when the server is known: without this it would have to be free towards all of them,
            // those of connections that ended a minute ago included.
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let stream = mio::net::TcpStream::from_std(socket.into());
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        let key = self.viewers.insert(Viewer::new(stream, spec, ordinal));
        self.by_ordinal.insert(ordinal, key);
        self.statistics.snapshot.asking += 1;
        // Over loopback the connection is established already, so no event for a writable socket is needed.
        self.ask(key);
        let Some(viewer) = self.viewers.get_mut(key) else { return Ok(()) };
        let interest = if viewer.asked_ns == 0 { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.poll.registry().register(&mut viewer.stream, Token(key), interest)
    }

    /// Sends the request if the connection is established.
    pub(super) fn ask(&mut self, key: usize) {
        let viewer = &mut self.viewers[key];
        let request = viewer.spec.target.request(&viewer.spec.behaviour, viewer.ordinal);
        let now = now_ns();
        match viewer.stream.write(&request) {
            Ok(written) if written == request.len() => {
                viewer.asked_ns = now;
                self.statistics.changed(Direction::Joins, now);
            }
            Ok(_) => self.lose(key, &Complaint::Socket(io::ErrorKind::WriteZero.into())),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {}
            Err(error) => self.lose(key, &Complaint::Connect(error)),
        }
    }
}

/// The local address of viewer number `ordinal`, where it is not left to the system: over loopback, each
/// [`VIEWERS_PER_SOURCE`] have one of their own, that no other process uses.
fn source(spec: &ViewerSpec, ordinal: u32) -> Option<Ipv4Addr> {
    let turn = ordinal / VIEWERS_PER_SOURCE;
    match spec.behaviour.source {
        None if turn == 0 || !spec.target.address.ip().is_loopback() => None,
        None => {
            let [.., high, low] = std::process::id().to_be_bytes();
            Some(Ipv4Addr::new(127, high | 0x80, low, 1 + (turn % 250) as u8))
        }
        given => given,
    }
}
