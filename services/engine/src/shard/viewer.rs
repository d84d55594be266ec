//! One viewer: its socket, its attachment, and what it has yet to take while it lags.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use socket2::Socket;

use super::shard_feed::ShardFeed;
use crate::metrics::{DepartureCause, SendTotals};
use crate::settings::TurnOver;
use crate::socket::{self, Input};
use crate::{Attachment, HeldViewer, StreamProgress, ViewerPermit};

/// A viewer of a shard. There is one for each open stream, so every byte counts: 32 and the attachment.
pub(super) struct Viewer<A> {
    socket: Socket,
    /// The key of its feed in this shard.
    feed: u32,
    /// Its position in the feed's list of viewers.
    pub(super) position: u32,
    /// The total of its discarded input.
    input_bytes: u16,
    /// Frames that it has been sent since its first, if its feed has a [`TurnOver`].
    frames: u16,
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
    /// The first frame, if `rest` is that of the head. Shared with the feed, like every frame.
    next: Option<Bytes>,
    then: AfterRest,
    /// The first frame is complete when `rest` and `next` are written.
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
        Box::new(Self { rest, next: None, then, first_frame: false, last_progress: now, position: 0 })
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
    let (rest, next) = match sent.checked_sub(head.len()) {
        Some(of_frame) => (frame.slice(of_frame..), None),
        None => (head.slice(sent..), Some(frame.clone())),
    };
    let then = AfterRest::Nothing;
    Ok(Some(Box::new(Lag { rest, next, then, first_frame: true, last_progress: now, position: 0 })))
}

/// Goes on with a stream that another engine began: the newest frame follows what it left unsent. Returns the lag if
/// something was left, or if the kernel did not accept all of the frame.
pub(super) fn send_resumed(
    socket: &Socket,
    progress: StreamProgress,
    frame: &Bytes,
    now: Instant,
    totals: &mut SendTotals,
) -> io::Result<Option<Box<Lag>>> {
    let StreamProgress { unsent, first_frame, stalled_for, .. } = progress;
    let last_progress = now.checked_sub(stalled_for).unwrap_or(now);
    if unsent.is_empty() && stalled_for.is_zero() {
        let sent = socket::send(socket, frame)?;
        totals.bytes += sent as u64;
        totals.frames += u64::from(sent > 0);
        let is_complete = sent == frame.len();
        return Ok((!is_complete).then(|| Lag::new(frame, sent, AfterRest::NewestFrame, AfterRest::Nothing, now)));
    }
    let then = AfterRest::NewestFrame;
    Ok(Some(Box::new(Lag { rest: unsent, next: None, then, first_frame, last_progress, position: 0 })))
}

impl<A> Viewer<A> {
    /// `feed` is the key of its feed, `position` its position in the feed's list; `input_bytes` and `frames` are what another
    /// engine has counted.
    pub(super) fn new(
        socket: Socket,
        feed: u32,
        position: u32,
        (input_bytes, frames): (u16, u16),
        attachment: A,
        permit: ViewerPermit,
    ) -> Self {
        Self { socket, feed, position, input_bytes, frames, lag: None, attachment, permit }
    }

    /// Takes the viewer out of the engine. `None` if its stream is ending.
    pub(super) fn hold(self, now: Instant) -> Option<HeldViewer<A>> {
        let Self { socket, input_bytes, frames, lag, attachment, .. } = self;
        let input_bytes = input_bytes.into();
        let mut progress = StreamProgress { input_bytes, frames, ..StreamProgress::default() };
        if let Some(lag) = lag {
            let Lag { rest, next, then, first_frame, last_progress, .. } = *lag;
            if matches!(then, AfterRest::Ending | AfterRest::Fin) {
                return None;
            }
            progress.stalled_for = now.saturating_duration_since(last_progress);
            let unsent = match next {
                Some(next) => [rest, next].concat().into(),
                None => rest,
            };
            (progress.unsent, progress.first_frame) = (unsent, first_frame);
        }
        Some(HeldViewer { socket: socket.into(), attachment, progress })
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

    /// Drops the permit. Returns the socket and the attachment.
    pub(super) fn into_parts(self) -> (Socket, A) {
        let Self { socket, attachment, permit, .. } = self;
        drop(permit);
        (socket, attachment)
    }

    /// Whether it has had its number of frames, and can end now: nothing is under way. `key` is its own.
    #[inline]
    pub(super) fn is_to_turn_over(&self, turn_over: TurnOver, key: usize) -> bool {
        self.lag.is_none() && turn_over.is_due(self.frames, key)
    }

    /// Counts the frame that is pushed next, unless a lagging viewer does not get it then.
    pub(super) fn count_frame(&mut self) {
        self.frames = self.frames.saturating_add(u16::from(self.lag.is_none()));
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

    /// Continues where the last write stopped, then writes what follows, from the viewer's `feed`.
    pub(super) fn catch_up(&mut self, feed: &mut ShardFeed<A>, now: Instant, totals: &mut SendTotals) -> Progress
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
                if let Some(next) = lag.next.take() {
                    lag.rest = next;
                    continue;
                }
                if std::mem::take(&mut lag.first_frame) {
                    self.attachment.first_frame_sent();
                }
            }
            let (part, then) = match lag.then {
                AfterRest::Nothing => return Progress::Live,
                AfterRest::NewestFrame => (feed.frame().bytes().clone(), AfterRest::Nothing),
                AfterRest::Ending => (feed.ending(), AfterRest::Fin),
                AfterRest::Fin => return Progress::Ended,
            };
            match socket::send(&self.socket, &part) {
                // An ending may be empty.
                Ok(0) if part.is_empty() => lag.then = then,
                // Nothing of the part was written, so a newer one may still replace it.
                Ok(0) => return Progress::Lagging,
                Ok(sent) => {
                    totals.bytes += sent as u64;
                    totals.frames += u64::from(then == AfterRest::Nothing);
                    self.frames = self.frames.saturating_add(1);
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
