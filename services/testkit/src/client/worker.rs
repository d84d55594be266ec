//! [`Worker`]: one thread that drives the sockets of many viewers and runs commands.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::mpsc::{Receiver, TryRecvError},
    thread,
    time::Duration,
};

use mio::{Events, Poll, Token};
use slab::Slab;
use socket2::SockRef;

use super::{
    command::{CloseMode, Command, Direction, Goal, Reply, Which},
    complaint::Complaint,
    pending::PendingBatch,
    pictures::{Freshness, PictureCache},
    response::ResponseError,
    snapshot::COMPLAINTS_KEPT,
    statistics::Statistics,
    viewer::{Delimiters, End, ReadState, Viewer},
};
use crate::{clock::now_ns, prefer_this_thread};

/// The token of the waker; the tokens of viewers begin at 0.
pub(super) const WAKER: Token = Token(usize::MAX);

/// The longest wait for events while something may become due.
const TICK: Duration = Duration::from_millis(5);

/// The most events of one poll.
const EVENTS: usize = 1024;

/// The pause after everything that arrived was read. Without it each part wakes the thread at the sender's cost: 37,000
/// times a second under `churn`, where that costs the nodes a third of their pushes. Measured times are late by at most this.
const READ_PAUSE: Duration = Duration::from_millis(1);

/// A command, and the function that takes the reply.
pub(super) type CommandWithReply = (Command, Box<dyn FnOnce(Reply) + Send>);

/// Owns the sockets of its viewers.
pub(super) struct Worker {
    pub(super) poll: Poll,
    commands: Receiver<CommandWithReply>,
    pub(super) viewers: Slab<Viewer>,
    /// Each live or asking viewer's slab key, by its ordinal.
    pub(super) by_ordinal: BTreeMap<u32, usize>,
    pub(super) next_ordinal: u32,
    pub(super) pending: Vec<PendingBatch>,
    waits: Vec<Wait>,
    pub(super) statistics: Statistics,
    pictures: PictureCache,
    delimiters: Delimiters,
    buffer: Vec<u8>,
}

/// A caller that waits for a goal.
struct Wait {
    goal: Goal,
    until_ns: u64,
    answer: Box<dyn FnOnce(Reply) + Send>,
}

/// Whether the worker continues.
#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

impl Worker {
    pub(super) fn new(poll: Poll, commands: Receiver<CommandWithReply>) -> Self {
        Self {
            poll,
            commands,
            viewers: Slab::new(),
            by_ordinal: BTreeMap::new(),
            next_ordinal: 0,
            pending: Vec::new(),
            waits: Vec::new(),
            statistics: Statistics::default(),
            pictures: PictureCache::new(),
            delimiters: Delimiters::default(),
            buffer: vec![0; 64 << 10],
        }
    }

    /// Runs until the command to stop, or until its handle is dropped.
    pub(super) fn run(mut self) {
        // On the same machine as the nodes, a client that waits for a core would measure its own delay.
        prefer_this_thread();
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let busy = !self.pending.is_empty();
            let pause = if busy { Duration::from_millis(1) } else { TICK };
            let pause = if self.waits.is_empty() && !busy { None } else { Some(pause) };
            match self.poll.poll(&mut events, pause) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("epoll fails only by a mistake here: {error}"),
            }
            let is_all = events.iter().count() < EVENTS;
            for event in events.iter().filter(|event| event.token() != WAKER) {
                self.ready(event.token().0, event.is_writable(), event.is_read_closed());
            }
            if self.handle_commands() == Flow::Stop {
                return;
            }
            self.connect_due();
            self.answer_waits();
            if is_all {
                thread::sleep(READ_PAUSE);
            }
        }
    }

    fn handle_commands(&mut self) -> Flow {
        loop {
            let (command, answer) = match self.commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Empty) => return Flow::Continue,
                Err(TryRecvError::Disconnected) => return Flow::Stop,
            };
            match command {
                Command::Open(batch) => self.open(batch),
                Command::Close { count, which, mode } => self.close(count, which, mode),
                Command::Stall { count, which } => self.stall(count, which),
                Command::Resume => self.resume(),
                Command::Await { goal, within } => {
                    let until_ns = now_ns() + u64::try_from(within.as_nanos()).unwrap_or(u64::MAX / 2);
                    self.waits.push(Wait { goal, until_ns, answer });
                    continue;
                }
                Command::Mark { number, since_ns } => self.statistics.mark(number, since_ns),
                Command::Track { base, direction, watchers } => self.statistics.track(base, direction, watchers),
                Command::ForgetExtremes => self.statistics.forget_extremes(),
                Command::Snapshot => {}
                Command::Stop => return Flow::Stop,
            }
            answer(Reply { reached_ns: None, snapshot: self.statistics.read() });
        }
    }

    fn answer_waits(&mut self) {
        if self.waits.is_empty() {
            return;
        }
        let now = now_ns();
        for index in (0..self.waits.len()).rev() {
            let reached = self.statistics.reached(self.waits[index].goal);
            if reached || now >= self.waits[index].until_ns {
                let wait = self.waits.swap_remove(index);
                (wait.answer)(Reply { reached_ns: reached.then_some(now), snapshot: self.statistics.read() });
            }
        }
    }

    fn ready(&mut self, key: usize, writable: bool, closing: bool) {
        let Some(viewer) = self.viewers.get(key) else { return };
        if viewer.asked_ns == 0 {
            if writable || closing {
                self.ask(key);
            }
        } else if viewer.read_state == ReadState::Reading {
            self.read(key, closing);
        }
    }

    fn read(&mut self, key: usize, closing: bool) {
        loop {
            let viewer = &mut self.viewers[key];
            let count = match viewer.stream.read(&mut self.buffer) {
                Ok(0) => return self.finish(key),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.lose(key, &Complaint::Socket(error)),
            };
            let now = now_ns();
            let (statistics, ordinal, asked_ns) = (&mut self.statistics, viewer.ordinal, viewer.asked_ns);
            statistics.snapshot.bytes += count as u64;
            let received =
                viewer.receive(&self.buffer[..count], &mut self.pictures, &mut self.delimiters, |before, shown| {
                    if before.is_none() {
                        statistics.snapshot.asking -= 1;
                        statistics.snapshot.live += 1;
                        statistics.snapshot.first_image.record(crate::clock::between(asked_ns, now));
                    }
                    statistics.saw(ordinal, before, shown, now);
                });
            if let Err(complaint) = received {
                return self.lose(key, &complaint);
            }
            if count < self.buffer.len() && !closing {
                return;
            }
        }
    }

    /// The stream has ended.
    fn finish(&mut self, key: usize) {
        let viewer = self.remove(key);
        let snapshot = &mut self.statistics.snapshot;
        match viewer.end() {
            End::Ended => {
                snapshot.ended += 1;
                let is_marked = viewer.shown.is_some_and(|shown| shown.freshness == Freshness::Stale);
                snapshot.ended_marked += usize::from(is_marked);
            }
            End::Closed => snapshot.closed += 1,
            End::Cut => snapshot.cut += 1,
        }
    }

    /// The stream was broken or refused.
    pub(super) fn lose(&mut self, key: usize, complaint: &Complaint) {
        self.remove(key);
        let snapshot = &mut self.statistics.snapshot;
        match complaint {
            Complaint::Connect(_) | Complaint::Socket(_) => snapshot.failed += 1,
            Complaint::Response(ResponseError::Status(status)) => {
                *snapshot.refused.entry(*status).or_default() += 1;
            }
            _ => snapshot.broken += 1,
        }
        self.complain(complaint);
    }

    pub(super) fn complain(&mut self, complaint: &Complaint) {
        let complaints = &mut self.statistics.snapshot.complaints;
        if complaints.len() < COMPLAINTS_KEPT {
            complaints.push(complaint.to_string());
        }
    }

    fn remove(&mut self, key: usize) -> Viewer {
        let viewer = self.viewers.remove(key);
        self.by_ordinal.remove(&viewer.ordinal);
        self.statistics.gone(viewer.shown);
        let snapshot = &mut self.statistics.snapshot;
        match viewer.shown {
            Some(_) => snapshot.live -= 1,
            None => snapshot.asking -= 1,
        }
        if viewer.read_state == ReadState::Stalled {
            snapshot.stalled -= 1;
        }
        viewer
    }

    /// The keys of `count` viewers.
    fn chosen(&self, count: usize, which: Which) -> Vec<usize> {
        let keys = self.by_ordinal.values().copied();
        match which {
            Which::Oldest => keys.take(count).collect(),
            Which::Newest => keys.rev().take(count).collect(),
        }
    }

    fn close(&mut self, count: usize, which: Which, mode: CloseMode) {
        for key in self.chosen(count, which) {
            let viewer = self.remove(key);
            if mode == CloseMode::Reset {
                let linger = SockRef::from(&viewer.stream).set_linger(Some(Duration::ZERO));
                linger.expect("a connected socket can be told to reset");
            }
            drop(viewer);
            self.statistics.snapshot.left += 1;
            self.statistics.changed(Direction::Leaves, now_ns());
        }
    }

    fn stall(&mut self, count: usize, which: Which) {
        for key in self.chosen(count, which) {
            let viewer = &mut self.viewers[key];
            if viewer.read_state == ReadState::Reading {
                viewer.read_state = ReadState::Stalled;
                self.statistics.snapshot.stalled += 1;
            }
        }
    }

    fn resume(&mut self) {
        for key in self.chosen(usize::MAX, Which::Oldest) {
            if self.viewers[key].read_state == ReadState::Stalled {
                self.viewers[key].read_state = ReadState::Reading;
                self.statistics.snapshot.stalled -= 1;
                // The poller reports only new bytes, so those that arrived meanwhile are read now.
                self.read(key, true);
            }
        }
    }
}
