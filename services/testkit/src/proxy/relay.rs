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

/// How long a relay waits for bytes while its queue is empty: it notices changed rules this late.
const IDLE_WAIT: Duration = Duration::from_millis(20);
/// The same while the queue holds something.
const BUSY_WAIT: Duration = Duration::from_millis(1);

pub(super) struct Relay {
    direction: Direction,
    number: u64,
    from: TcpStream,
    to: TcpStream,
    shared: Arc<Shared>,
    /// `None` if the proxy does not know the protocol.
    replies: Option<Arc<ReplyMatcher>>,
    /// The bytes of an incomplete message.
    incomplete: Vec<u8>,
    queue: VecDeque<Message>,
}

impl Relay {
    pub(super) fn new(
        direction: Direction,
        number: u64,
        from: TcpStream,
        to: TcpStream,
        shared: Arc<Shared>,
        replies: Option<Arc<ReplyMatcher>>,
    ) -> Self {
        Self { direction, number, from, to, shared, replies, incomplete: Vec::new(), queue: VecDeque::new() }
    }

    /// Runs until either end has closed, then closes both.
    pub(super) fn run(mut self) {
        // An error ends the connection, which both ends notice.
        let _ = self.forward();
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }

    fn forward(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut timeout = Duration::ZERO;
        let mut ended = false;
        loop {
            let wanted = if self.queue.is_empty() { IDLE_WAIT } else { BUSY_WAIT };
            if wanted != timeout {
                timeout = wanted;
                self.from.set_read_timeout(Some(timeout))?;
            }
            if ended {
                std::thread::park_timeout(timeout);
            } else {
                match self.from.read(&mut buffer) {
                    Ok(0) => ended = true,
                    Ok(count) => self.receive(&buffer[..count])?,
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let lost = self.shared.is_lost(self.number);
            if lost && ended {
                return Ok(());
            }
            let held = lost || self.shared.path(self.direction).held;
            if !held {
                self.send_due()?;
            }
            // The end does not pass while the direction is held either.
            if ended && !held && self.queue.is_empty() {
                return Ok(());
            }
        }
    }

    /// Queues what has arrived.
    fn receive(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = Instant::now() + self.shared.path(self.direction).delay;
        let Some(replies) = &self.replies else {
            self.queue.push_back(Message { at, bytes: bytes.to_vec(), action: None });
            return Ok(());
        };
        self.incomplete.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((value, length)) = resp::message(&self.incomplete[used..])? {
            let message = &self.incomplete[used..used + length];
            match self.direction {
                Direction::ToServer => replies.request(&value, message, at, &mut self.queue),
                Direction::ToClient => {
                    let ready = replies.reply(&value, message)?;
                    self.queue.extend(ready.into_iter().map(|bytes| Message { at, bytes, action: None }));
                }
            }
            used += length;
        }
        self.incomplete.drain(..used);
        Ok(())
    }

    /// Sends what is due, in the order of its time.
    fn send_due(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while let Some(first) = self.queue.iter().enumerate().min_by_key(|(_, message)| message.at).map(|(at, _)| at) {
            if self.queue[first].at > now {
                return Ok(());
            }
            let message = self.queue.remove(first).expect("the index was just found");
            if let (Some(replies), Some(action)) = (&self.replies, message.action) {
                replies.sent(action);
            }
            self.to.write_all(&message.bytes)?;
        }
        Ok(())
    }
}
