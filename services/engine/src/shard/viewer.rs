//! One viewer: its socket, its attachment, and what it has yet to take while it lags.

use std::io;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use headcount_wire::Frame;
use socket2::Socket;

use crate::metrics::{DepartureCause, SendTotals};
use crate::socket::{self, Input};
use crate::{Attachment, ViewerPermit};

/// A viewer of a shard. There is one for each open stream, so every byte counts: 32 and the attachment.
pub(super) struct Viewer<A> {
    socket: Socket,
    /// The key of its feed in this shard.
    feed: u32,
    /// Its position in the feed's list of viewers.
    pub(super) position: u32,
    /// The total of its discarded input.
    input_bytes: u32,
    /// `None` for a live viewer. Boxed, because few lag.
    lag: Option<Box<Lag>>,
    attachment: A,
    permit: ViewerPermit,
}

/// The state of a lagging viewer.
#[derive(Debug)]
pub(super) struct Lag {
    /// The rest of a part whose beginning was written. It must be written before anything else.
    rest: Bytes,
    then: AfterRest,
    /// The first frame is complete when `rest` is written.
    first_frame: bool,
    /// When the viewer last took a byte.
    pub(super) last_progress: Instant,
    /// Its position in the shard's list of lagging viewers.
    pub(super) position: u32,
}

/// What follows the rest of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterRest {
    /// Nothing: the viewer is live again.
    Nothing,
    /// The frame that is the newest by then.
    NewestFrame,
    /// The stream's ending.
    Ending,
    /// The FIN. The rest belongs to the ending.
    Fin,
}

/// The result of a push.
pub(super) enum PushOutcome {
    /// The viewer has the frame, or it already lags and will receive this frame or a newer one.
    Done,
    /// The viewer took only a part of the frame, or nothing. It lags from now on.
    FellBehind(Box<Lag>),
    /// The connection is broken.
    Broken(io::Error),
}

/// The state of a viewer after a write.
pub(super) enum Progress {
    /// It has taken everything.
    Live,
    /// It lags from now on.
    FellBehind(Box<Lag>),
    /// It still lags.
    Lagging,
    /// It has taken the ending. The FIN remains.
    Ended,
    /// The connection is broken.
    Broken(io::Error),
}

impl Lag {
    /// `written` bytes of `part` were written. What follows depends on whether the part was begun.
    fn new(part: &Bytes, written: usize, if_none: AfterRest, if_some: AfterRest, now: Instant) -> Box<Self> {
        let (rest, then) = if written == 0 { (Bytes::new(), if_none) } else { (part.slice(written..), if_some) };
        Box::new(Self { rest, then, first_frame: false, last_progress: now, position: 0 })
    }
}

/// Makes the first write of a stream: `head` and `frame` together. Returns the lag if the kernel did not accept all of it.
pub(super) fn send_first_frame(
    socket: &Socket,
    head: &Bytes,
    frame: &Bytes,
    now: Instant,
    totals: &mut SendTotals,
) -> io::Result<Option<Box<Lag>>> {
    let sent = socket::send_both(socket, head, frame)?;
    totals.bytes += sent as u64;
    totals.frames += 1;
    if sent == head.len() + frame.len() {
        return Ok(None);
    }
    let mut rest = BytesMut::with_capacity(head.len() + frame.len());
    rest.extend_from_slice(head);
    rest.extend_from_slice(frame);
    let rest = rest.freeze().slice(sent..);
    let then = AfterRest::Nothing;
    Ok(Some(Box::new(Lag { rest, then, first_frame: true, last_progress: now, position: 0 })))
}

impl<A> Viewer<A> {
    /// `feed` is the key of its feed, `position` its position in the feed's list.
    pub(super) fn new(socket: Socket, feed: u32, position: u32, attachment: A, permit: ViewerPermit) -> Self {
        Self { socket, feed, position, input_bytes: 0, lag: None, attachment, permit }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The key of its feed.
    #[inline]
    pub(super) fn feed(&self) -> usize {
        self.feed as usize
    }

    pub(super) fn lag(&self) -> Option<&Lag> {
        self.lag.as_deref()
    }

    pub(super) fn lag_mut(&mut self) -> Option<&mut Lag> {
        self.lag.as_deref_mut()
    }

    pub(super) fn set_lag(&mut self, lag: Box<Lag>) {
        self.lag = Some(lag);
    }

    pub(super) fn take_lag(&mut self) -> Option<Box<Lag>> {
        self.lag.take()
    }

    /// Drops the permit and the attachment. Returns the socket.
    pub(super) fn into_socket(self) -> Socket {
        let Self { socket, attachment, permit, .. } = self;
        drop((permit, attachment));
        socket
    }

    /// Reads and discards all available input.
    pub(super) fn discard_input(&mut self) -> io::Result<Input> {
        socket::discard_input(&self.socket, &mut self.input_bytes)
    }

    /// Writes a frame, or notes that a lagging viewer needs the newest.
    pub(super) fn push(&mut self, frame: &Bytes, now: Instant, totals: &mut SendTotals) -> PushOutcome {
        if let Some(lag) = &mut self.lag {
            match lag.then {
                AfterRest::Nothing => lag.then = AfterRest::NewestFrame,
                AfterRest::NewestFrame => totals.skipped += 1,
                AfterRest::Ending | AfterRest::Fin => {}
            }
            return PushOutcome::Done;
        }
        match socket::send(&self.socket, frame) {
            Ok(sent) => {
                totals.bytes += sent as u64;
                totals.frames += u64::from(sent > 0);
                if sent == frame.len() {
                    PushOutcome::Done
                } else {
                    let lag = Lag::new(frame, sent, AfterRest::NewestFrame, AfterRest::Nothing, now);
                    PushOutcome::FellBehind(lag)
                }
            }
            Err(error) => PushOutcome::Broken(error),
        }
    }

    /// Writes the ending, or lets it follow the part that was begun.
    pub(super) fn end(&mut self, ending: &Bytes, now: Instant) -> Progress {
        if let Some(lag) = &mut self.lag {
            if lag.then != AfterRest::Fin {
                lag.then = AfterRest::Ending;
            }
            return Progress::Lagging;
        }
        match socket::send(&self.socket, ending) {
            Ok(sent) if sent == ending.len() => Progress::Ended,
            Ok(sent) => Progress::FellBehind(Lag::new(ending, sent, AfterRest::Ending, AfterRest::Fin, now)),
            Err(error) => Progress::Broken(error),
        }
    }

    /// Continues where the last write stopped, then writes what follows.
    pub(super) fn catch_up(&mut self, newest: &Frame, now: Instant, totals: &mut SendTotals) -> Progress
    where
        A: Attachment,
    {
        let Some(lag) = &mut self.lag else { return Progress::Live };
        loop {
            if !lag.rest.is_empty() {
                match socket::send(&self.socket, &lag.rest) {
                    Ok(0) => return Progress::Lagging,
                    Ok(sent) => {
                        totals.bytes += sent as u64;
                        lag.last_progress = now;
                        let _ = lag.rest.split_to(sent);
                    }
                    Err(error) => return Progress::Broken(error),
                }
                if !lag.rest.is_empty() {
                    return Progress::Lagging;
                }
                if std::mem::take(&mut lag.first_frame) {
                    self.attachment.first_frame_sent();
                }
            }
            let (part, then) = match lag.then {
                AfterRest::Nothing => return Progress::Live,
                AfterRest::NewestFrame => (newest.bytes().clone(), AfterRest::Nothing),
                AfterRest::Ending => (newest.ending(), AfterRest::Fin),
                AfterRest::Fin => return Progress::Ended,
            };
            match socket::send(&self.socket, &part) {
                // Nothing of the part was written, so a newer one may still replace it.
                Ok(0) => return Progress::Lagging,
                Ok(sent) => {
                    totals.bytes += sent as u64;
                    totals.frames += u64::from(then == AfterRest::Nothing);
                    lag.last_progress = now;
                    (lag.rest, lag.then) = (part.slice(sent..), then);
                }
                Err(error) => return Progress::Broken(error),
            }
            if !lag.rest.is_empty() {
                return Progress::Lagging;
            }
        }
    }

    /// Why a viewer has left whose connection broke with `error`.
    pub(super) fn departure_cause(&self, error: &io::Error) -> DepartureCause {
        use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
        match error.kind() {
            // After a timeout the kernel reports the last ICMP error, if there was one, in place of ETIMEDOUT.
            TimedOut | HostUnreachable | NetworkUnreachable if self.lag.is_some() => DepartureCause::Stalled,
            TimedOut | HostUnreachable | NetworkUnreachable => DepartureCause::TimedOut,
            _ => DepartureCause::Reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_takes_32_bytes() {
        assert_eq!(size_of::<Viewer<()>>(), 32);
    }
}
