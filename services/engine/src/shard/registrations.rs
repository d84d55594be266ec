//! Which socket an event of the poller belongs to, and the registration of sockets with the poller.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::Socket;

/// The source of a poller's event, encoded in its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventSource {
    /// The inbox's waker.
    Waker,
    /// The viewer with this key.
    Viewer(usize),
    /// The departing socket with this key.
    DepartingSocket(usize),
}

impl EventSource {
    const WAKER: usize = usize::MAX;
    /// Set in the tokens of departing sockets. Keys are far smaller, because they count open sockets.
    const DEPARTING: usize = 1 << 62;
}

impl From<EventSource> for Token {
    fn from(source: EventSource) -> Self {
        Self(match source {
            EventSource::Waker => EventSource::WAKER,
            EventSource::Viewer(key) => key,
            EventSource::DepartingSocket(key) => key | EventSource::DEPARTING,
        })
    }
}

impl From<Token> for EventSource {
    fn from(Token(token): Token) -> Self {
        match token {
            Self::WAKER => Self::Waker,
            _ if token & Self::DEPARTING != 0 => Self::DepartingSocket(token & !Self::DEPARTING),
            _ => Self::Viewer(token),
        }
    }
}

/// Registers sockets with the shard's poller. Closing a socket ends its registration. Clones use the same poller.
#[derive(Clone, Debug)]
pub(super) struct Registrations(Arc<Registry>);

impl Registrations {
    pub(super) fn new(registry: &Registry) -> io::Result<Self> {
        Ok(Self(Arc::new(registry.try_clone()?)))
    }

    // Inlined: a call would be 1 % of adding a viewer.
    #[inline]
    pub(super) fn add(&self, socket: &Socket, source: EventSource, interest: Interest) -> io::Result<()> {
        self.0.register(&mut SourceFd(&socket.as_raw_fd()), source.into(), interest)
    }

    /// Ends the registration of a socket that stays open.
    pub(super) fn remove(&self, socket: &Socket) -> io::Result<()> {
        self.0.deregister(&mut SourceFd(&socket.as_raw_fd()))
    }

    /// Changes a registration. The poller checks the socket again: a state reached before the change causes an event too.
    pub(super) fn change(&self, socket: &Socket, source: EventSource, interest: Interest) -> io::Result<()> {
        self.0.reregister(&mut SourceFd(&socket.as_raw_fd()), source.into(), interest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_decodes_to_its_source() {
        for source in [
            EventSource::Waker,
            EventSource::Viewer(0),
            EventSource::Viewer(300_000),
            EventSource::DepartingSocket(0),
            EventSource::DepartingSocket(300_000),
        ] {
            assert_eq!(EventSource::from(Token::from(source)), source);
        }
    }
}
