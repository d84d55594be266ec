//! Sockets of viewers who have received their ending and our FIN, until their peers close as well.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::Interest;
use slab::Slab;
use socket2::Socket;

use super::registrations::{EventSource, Registrations};
use crate::socket::{self, Input};

/// How long the peer has to send its FIN after ours. Closing earlier, with unread input, would reset the connection, and
/// the peer could lose the last image.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// How often expired sockets are looked for.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

struct DepartingSocket {
    socket: Socket,
    expires: Instant,
    input_bytes: u16,
}

/// The departing sockets of a shard.
pub(super) struct DepartingSockets {
    sockets: Slab<DepartingSocket>,
    registrations: Registrations,
    next_check: Instant,
}

impl DepartingSockets {
    pub(super) fn new(registrations: Registrations, now: Instant) -> Self {
        Self { sockets: Slab::new(), registrations, next_check: now + CHECK_INTERVAL }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Sends a FIN, and keeps the socket until its peer closes or [`LINGER`] is over.
    pub(super) fn add(&mut self, socket: Socket, now: Instant) {
        // Fails if the peer has already left; then there is nothing to wait for.
        if socket.shutdown(Shutdown::Write).is_ok() {
            let entry = self.sockets.vacant_entry();
            let source = EventSource::DepartingSocket(entry.key());
            if self.registrations.change(&socket, source, Interest::READABLE).is_ok() {
                entry.insert(DepartingSocket { socket, expires: now + LINGER, input_bytes: 0 });
            }
        }
    }

    /// Discards a socket's input. Closes the socket if its peer has closed or sends too much.
    pub(super) fn on_readable(&mut self, key: usize) {
        let Some(departing) = self.sockets.get_mut(key) else { return };
        match socket::discard_input(&departing.socket, &mut departing.input_bytes) {
            Ok(Input::Open) => {}
            Ok(Input::TooMuch | Input::Ended) | Err(_) => drop(self.sockets.remove(key)),
        }
    }

    /// When [`close_expired`](Self::close_expired) has something to do.
    pub(super) fn next_check(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.next_check)
    }

    /// Closes the sockets whose peers have not closed in time.
    pub(super) fn close_expired(&mut self, now: Instant) {
        if now >= self.next_check {
            self.next_check = now + CHECK_INTERVAL;
            self.sockets.retain(|_, departing| departing.expires > now);
        }
    }
}
