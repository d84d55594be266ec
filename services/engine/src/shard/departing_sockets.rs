//! How viewers go: on their own account, or ended by the engine, all at once or spread over a time.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Token};
use socket2::Socket;
use tokio::sync::mpsc;

use super::viewer::Progress;
use super::{DEPARTING, STALL_CHECKS, Shard};
use crate::Attachment;
use crate::inbox::DrainOrder;
use crate::metrics::DepartureCause;
use crate::socket::{self, Read};

/// After our FIN, how long the peer has to send its own. Closed before, and with unread input, the connection would be
/// reset, and the peer could lose the last image.
const LINGER: Duration = Duration::from_secs(2);
/// How often the shard looks for sockets that have had their time.
pub(super) const LINGER_CHECK: Duration = Duration::from_millis(100);
/// How often a drain goes on.
const DRAIN_STEP: Duration = Duration::from_millis(10);

/// A socket that has had its end and our FIN.
pub(super) struct DepartingSocket {
    socket: Socket,
    until: Instant,
    input_bytes: usize,
}

/// A drain that is on.
pub(super) struct Drain {
    began: Instant,
    spread: Duration,
    /// Viewers with smaller keys have been ended.
    ended: usize,
    /// Keys there were when it began.
    keys: usize,
    done: Vec<mpsc::Sender<()>>,
}

impl Drain {
    /// When the drain has something to do again.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        if self.ended < self.keys {
            Some(now + DRAIN_STEP)
        } else {
            Some(self.began + self.spread + LINGER).filter(|overdue| *overdue > now)
        }
    }
}

impl<A: Attachment> Shard<A> {
    /// The viewer's connection is broken.
    pub(super) fn depart_broken(&mut self, key: usize, error: &io::Error) {
        let cause = self.viewers[key].cause(error);
        self.depart(key, cause);
    }

    /// The viewer has gone.
    pub(super) fn depart(&mut self, key: usize, cause: DepartureCause) {
        let socket = self.remove(key, cause);
        if matches!(cause, DepartureCause::Stalled | DepartureCause::Talkative) {
            // A reset instead of a FIN, which would wait behind what the peer does not take.
            if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
                tracing::debug!(%error, "a viewer's socket could not be set to reset");
            }
        }
    }

    /// Writes the viewer's end, or makes it follow what the viewer has yet to take.
    pub(super) fn end_viewer(&mut self, key: usize, now: Instant) {
        let viewer = &mut self.viewers[key];
        let ending = self.feeds[viewer.feed as usize].ending();
        let (progress, behind) = viewer.end(&ending, now);
        if let Some(behind) = behind {
            self.fall_behind(key, behind);
        }
        self.settle(key, progress, now);
    }

    /// Does what a viewer's progress asks for.
    pub(super) fn settle(&mut self, key: usize, progress: Progress, now: Instant) {
        match progress {
            Progress::Lagging => {}
            Progress::Live => self.recover(key),
            Progress::Ended => self.say_goodbye(key, now),
            Progress::Broken(error) => self.depart_broken(key, &error),
        }
    }

    /// The viewer has its end: it goes, its socket stays until the peer has closed as well.
    fn say_goodbye(&mut self, key: usize, now: Instant) {
        let cause = if self.drain.is_some() { DepartureCause::Drained } else { DepartureCause::FeedEnded };
        let socket = self.remove(key, cause);
        // Fails where the peer has gone already; then there is nothing to wait for.
        if socket.shutdown(Shutdown::Write).is_ok() {
            let fd = socket.as_raw_fd();
            let key = self.leaving.insert(DepartingSocket { socket, until: now + LINGER, input_bytes: 0 });
            let token = Token(key | DEPARTING);
            if self.poll.registry().reregister(&mut SourceFd(&fd), token, Interest::READABLE).is_err() {
                self.leaving.remove(key);
            }
        }
    }

    /// Something has come for a socket that is leaving.
    pub(super) fn handle_departing_event(&mut self, key: usize) {
        let Some(leaving) = self.leaving.get_mut(key) else { return };
        let allowance = super::MAX_INPUT_BYTES.saturating_sub(leaving.input_bytes);
        match socket::discard_input(&leaving.socket, allowance) {
            Ok(Read::Discarded(bytes)) if bytes <= allowance => leaving.input_bytes += bytes,
            Ok(_) | Err(_) => drop(self.leaving.remove(key)),
        }
    }

    /// Closes the sockets whose peers have not closed in time.
    pub(super) fn close_overdue(&mut self, now: Instant) {
        if now.saturating_duration_since(self.leaving_checked) < LINGER_CHECK {
            return;
        }
        self.leaving_checked = now;
        self.leaving.retain(|_, leaving| leaving.until > now);
    }

    /// Drops the lagging viewers that have taken nothing for too long.
    pub(super) fn drop_stalled(&mut self, now: Instant) {
        if now.saturating_duration_since(self.stalls_checked) < self.stall_limit / STALL_CHECKS {
            return;
        }
        self.stalls_checked = now;
        let mut index = 0;
        while let Some(&key) = self.lagging.get(index) {
            let since = self.viewers[key as usize].behind.as_ref().expect("a listed viewer lags").since;
            if now.saturating_duration_since(since) >= self.stall_limit {
                // Another viewer takes its place in the list.
                self.depart(key as usize, DepartureCause::Stalled);
            } else {
                index += 1;
            }
        }
    }

    /// Begins a drain, or joins the one that is on, which ends sooner if the order says so.
    pub(super) fn begin_drain(&mut self, order: DrainOrder, now: Instant) {
        match &mut self.drain {
            Some(drain) => {
                drain.done.push(order.done);
                if now + order.spread < drain.began + drain.spread {
                    (drain.began, drain.spread) = (now, order.spread);
                }
            }
            None => {
                let keys = self.viewers.capacity();
                self.drain = Some(Drain { began: now, spread: order.spread, ended: 0, keys, done: vec![order.done] });
            }
        }
    }

    /// Ends those viewers whose time has come.
    pub(super) fn drain_on(&mut self, now: Instant) {
        let Some(drain) = &self.drain else { return };
        let elapsed = now.saturating_duration_since(drain.began);
        let (from, keys, overdue) = (drain.ended, drain.keys, elapsed >= drain.spread + LINGER);
        let share = if drain.spread.is_zero() { 1.0 } else { elapsed.div_duration_f64(drain.spread).min(1.0) };
        // A drain that was begun anew does not go back behind those it has ended.
        let due = if share < 1.0 { ((keys as f64 * share) as usize).max(from) } else { keys };
        for key in from..due {
            if self.viewers.contains(key) {
                self.end_viewer(key, now);
            }
        }
        if overdue {
            while let Some(&key) = self.lagging.last() {
                self.depart(key as usize, DepartureCause::Stalled);
            }
        }
        if let Some(drain) = &mut self.drain {
            drain.ended = due;
            if self.viewers.is_empty() && self.leaving.is_empty() && !self.newcomers_wait {
                drain.done.clear();
            }
        }
    }
}
