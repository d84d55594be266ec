//! [`Relay`]: one direction of one connection through the proxy.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    replies::{Message, ReplyMatcher},
    rules::{Direction, Shared},
};
use crate::resp;

/// How long a lane waits for bytes when nothing else is due: how late it may see that the rules have changed.
const IDLE_LOOK: Duration = Duration::from_millis(20);
/// The same while something is due.
const BUSY_LOOK: Duration = Duration::from_millis(1);

pub(super) struct Relay {
    direction: Direction,
    from: TcpStream,
    to: TcpStream,
    shared: Arc<Shared>,
    /// `None` where the proxy does not know the protocol.
    exchange: Option<Arc<ReplyMatcher>>,
    /// Bytes of a message that is not complete yet.
    begun: Vec<u8>,
    /// What is to be sent, and when.
    due: VecDeque<Message>,
}

impl Relay {
    pub(super) fn new(
        direction: Direction,
        from: TcpStream,
        to: TcpStream,
        shared: Arc<Shared>,
        exchange: Option<Arc<ReplyMatcher>>,
    ) -> Self {
        Self { direction, from, to, shared, exchange, begun: Vec::new(), due: VecDeque::new() }
    }

    /// Runs until either end is gone, then closes both.
    pub(super) fn run(mut self) {
        // An error is the end of the connection, which is what the two ends are to see.
        let _ = self.forward();
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }

    fn forward(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut look = Duration::ZERO;
        let mut ended = false;
        loop {
            let wanted = if self.due.is_empty() { IDLE_LOOK } else { BUSY_LOOK };
            if wanted != look {
                look = wanted;
                self.from.set_read_timeout(Some(look))?;
            }
            if ended {
                std::thread::park_timeout(look);
            } else {
                match self.from.read(&mut buffer) {
                    Ok(0) => ended = true,
                    Ok(count) => self.take(&buffer[..count])?,
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let held = self.shared.rules().way(self.direction).held;
            if !held {
                self.send()?;
            }
            // An end is not seen on the other side of a network that lets nothing through.
            if ended && !held && self.due.is_empty() {
                return Ok(());
            }
        }
    }

    /// Puts what came where it is due.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = Instant::now() + self.shared.rules().way(self.direction).delay;
        let Some(exchange) = &self.exchange else {
            self.due.push_back(Message { at, bytes: bytes.to_vec(), action: None });
            return Ok(());
        };
        self.begun.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((value, length)) = resp::message(&self.begun[used..])? {
            let message = &self.begun[used..used + length];
            match self.direction {
                Direction::ToServer => exchange.request(&value, message, at, &mut self.due),
                Direction::ToClient => {
                    for bytes in exchange.answer(&value, message)? {
                        self.due.push_back(Message { at, bytes, action: None });
                    }
                }
            }
            used += length;
        }
        self.begun.drain(..used);
        Ok(())
    }

    /// Sends what is due, in the order of its time.
    fn send(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while let Some(first) = self.due.iter().enumerate().min_by_key(|(_, parcel)| parcel.at).map(|(at, _)| at) {
            if self.due[first].at > now {
                return Ok(());
            }
            let parcel = self.due.remove(first).expect("it was just found");
            if let (Some(exchange), Some(action)) = (&self.exchange, parcel.action) {
                exchange.sent(action);
            }
            self.to.write_all(&parcel.bytes)?;
        }
        Ok(())
    }
}
