//! One viewer: its socket, and what is due to it while it lags.

use std::io;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use headcount_wire::Frame;
use socket2::Socket;

use crate::metrics::{DepartureCause, SendTotals};
use crate::socket;
use crate::viewer_limits::ViewerPermit;

/// A viewer in a shard. All but `behind` is settled when it joins.
pub(super) struct Viewer<A> {
    pub(super) socket: Socket,
    /// The key of its feed in this shard.
    pub(super) feed: u32,
    /// Where it stands in the feed's roster.
    pub(super) position: u32,
    /// What it has sent so far, all thrown away.
    pub(super) input_bytes: u32,
    /// What it has yet to take; `None` for a live viewer. Boxed, because few lag.
    pub(super) behind: Option<Box<Lag>>,
    pub(super) attachment: A,
    /// Held for its drop.
    pub(super) _place: ViewerPermit,
}

/// What a lagging viewer has yet to take.
#[derive(Debug)]
pub(super) struct Lag {
    /// The rest of the part that it has taken the beginning of. Before it nothing else may be written.
    rest: Bytes,
    owed: AfterRest,
    /// With the rest it will have its first image.
    first_frame: bool,
    /// When it last took anything.
    pub(super) since: Instant,
    /// Where it stands in the shard's list of lagging viewers.
    pub(super) position: u32,
}

/// What follows the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterRest {
    /// Nothing: then it is live again.
    Nothing,
    /// The newest frame, whichever that will be.
    Newest,
    /// The stream's end.
    Ending,
    /// The FIN; the rest is of the stream's end.
    Fin,
}

/// What a frame came to for a viewer that the pass visited.
pub(super) enum PushOutcome {
    /// It has it, or lags already and will get it or a newer one.
    Settled,
    /// It took none or only a beginning of it, and lags from now on.
    FellBehind(Box<Lag>),
    /// Its connection is broken.
    Broken(io::Error),
}

/// How far a viewer has come with what was due to it.
pub(super) enum Progress {
    /// It has all.
    Live,
    /// Something is left.
    Lagging,
    /// It has the stream's end, all but the FIN.
    Ended,
    /// Its connection is broken.
    Broken(io::Error),
}

impl Lag {
    /// `taken` bytes of `part` have been written.
    fn new(part: &Bytes, taken: usize, none_taken: AfterRest, some_taken: AfterRest, now: Instant) -> Box<Self> {
        let (rest, owed) = if taken == 0 { (Bytes::new(), none_taken) } else { (part.slice(taken..), some_taken) };
        Box::new(Self { rest, owed, first_frame: false, since: now, position: 0 })
    }

    /// Makes the stream's end follow what has begun.
    fn end(&mut self) {
        if self.owed != AfterRest::Fin {
            self.owed = AfterRest::Ending;
        }
    }
}

/// The first write of a stream: `head` and `frame` together. Gives what is left of them, if anything.
pub(super) fn send_first_frame(
    socket: &Socket,
    head: &Bytes,
    frame: &Bytes,
    now: Instant,
    tally: &mut SendTotals,
) -> io::Result<Option<Box<Lag>>> {
    let sent = socket::send_both(socket, head, frame)?;
    tally.bytes += sent as u64;
    tally.frames += 1;
    if sent == head.len() + frame.len() {
        return Ok(None);
    }
    let mut rest = BytesMut::with_capacity(head.len() + frame.len());
    rest.extend_from_slice(head);
    rest.extend_from_slice(frame);
    let rest = rest.freeze().slice(sent..);
    Ok(Some(Box::new(Lag { rest, owed: AfterRest::Nothing, first_frame: true, since: now, position: 0 })))
}

impl<A> Viewer<A> {
    /// Shows a frame.
    pub(super) fn show(&mut self, frame: &Bytes, now: Instant, tally: &mut SendTotals) -> PushOutcome {
        if let Some(behind) = &mut self.behind {
            match behind.owed {
                AfterRest::Nothing => behind.owed = AfterRest::Newest,
                AfterRest::Newest => tally.skipped += 1,
                AfterRest::Ending | AfterRest::Fin => {}
            }
            return PushOutcome::Settled;
        }
        match socket::send(&self.socket, frame) {
            Ok(taken) => {
                tally.bytes += taken as u64;
                tally.frames += u64::from(taken > 0);
                if taken == frame.len() {
                    PushOutcome::Settled
                } else {
                    PushOutcome::FellBehind(Lag::new(frame, taken, AfterRest::Newest, AfterRest::Nothing, now))
                }
            }
            Err(error) => PushOutcome::Broken(error),
        }
    }

    /// Ends the stream. Gives what to lag with, if the viewer does from now on.
    pub(super) fn end(&mut self, ending: &Bytes, now: Instant) -> (Progress, Option<Box<Lag>>) {
        if let Some(behind) = &mut self.behind {
            behind.end();
            return (Progress::Lagging, None);
        }
        match socket::send(&self.socket, ending) {
            Ok(taken) if taken == ending.len() => (Progress::Ended, None),
            Ok(taken) => (Progress::Lagging, Some(Lag::new(ending, taken, AfterRest::Ending, AfterRest::Fin, now))),
            Err(error) => (Progress::Broken(error), None),
        }
    }

    /// Writes on where the viewer left off, and then what it is owed.
    pub(super) fn catch_up(&mut self, newest: &Frame, now: Instant, tally: &mut SendTotals) -> Progress
    where
        A: crate::Attachment,
    {
        let Some(behind) = &mut self.behind else { return Progress::Live };
        loop {
            if !behind.rest.is_empty() {
                match socket::send(&self.socket, &behind.rest) {
                    Ok(0) => return Progress::Lagging,
                    Ok(taken) => {
                        tally.bytes += taken as u64;
                        behind.since = now;
                        let _ = behind.rest.split_to(taken);
                    }
                    Err(error) => return Progress::Broken(error),
                }
                if !behind.rest.is_empty() {
                    return Progress::Lagging;
                }
                if std::mem::take(&mut behind.first_frame) {
                    self.attachment.first_frame_sent();
                }
            }
            let (part, then) = match behind.owed {
                AfterRest::Nothing => return Progress::Live,
                AfterRest::Newest => (newest.bytes().clone(), AfterRest::Nothing),
                AfterRest::Ending => (newest.ending(), AfterRest::Fin),
                AfterRest::Fin => return Progress::Ended,
            };
            match socket::send(&self.socket, &part) {
                // None of it is taken: a newer one may still take its place.
                Ok(0) => return Progress::Lagging,
                Ok(taken) => {
                    tally.bytes += taken as u64;
                    tally.frames += u64::from(then == AfterRest::Nothing);
                    behind.since = now;
                    (behind.rest, behind.owed) = (part.slice(taken..), then);
                }
                Err(error) => return Progress::Broken(error),
            }
            if !behind.rest.is_empty() {
                return Progress::Lagging;
            }
        }
    }

    /// Why a viewer whose connection broke with `error` has gone.
    pub(super) fn cause(&self, error: &io::Error) -> DepartureCause {
        use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
        match error.kind() {
            // The kernel gives the network's last word, if there was one, in place of its own.
            TimedOut | HostUnreachable | NetworkUnreachable if self.behind.is_some() => DepartureCause::Stalled,
            TimedOut | HostUnreachable | NetworkUnreachable => DepartureCause::TimedOut,
            _ => DepartureCause::Reset,
        }
    }
}
