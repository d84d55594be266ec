//! [`Viewers`]: opens viewers, closes, stalls and resumes them, and reports what they see.

use std::time::Duration;

use super::{
    command::{Batch, CloseMode, Command, Direction, Goal, Reply, Which},
    snapshot::Snapshot,
    worker_handle::{WorkerError, WorkerHandle},
};
use crate::clock::{between, now_ns};

/// Open files that a process needs in addition to its viewers' sockets.
const RESERVED_FILES: usize = 200;

/// The most viewers in one process, whatever the limit of open files: one thread drives them all.
const VIEWERS_PER_PROCESS: usize = 19_000;

/// Why viewers did not reach a goal.
#[derive(Debug, thiserror::Error)]
pub enum ViewersError {
    /// The time ran out.
    #[error("{goal:?} was not reached within {within:?}: {snapshot}")]
    TimedOut {
        /// What was awaited.
        goal: Goal,
        /// How long.
        within: Duration,
        /// The state of the viewers then.
        snapshot: Box<Snapshot>,
    },
    /// Viewers were lost while they were being opened.
    #[error("not all viewers could be opened: {0}")]
    NotOpened(Box<Snapshot>),
    /// The worker that drives the viewers is gone.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Many viewers. They leave when this is dropped.
pub struct Viewers {
    workers: Vec<WorkerHandle>,
}

impl Viewers {
    /// Opens `count` viewers of `urls`, in turn, as fast as they are answered, and waits until each has seen an image.
    ///
    /// # Errors
    /// If not all could be opened, within 10 s and another for each 500.
    pub fn open<U: AsRef<str>>(count: usize, urls: &[U]) -> Result<Self, ViewersError> {
        let urls = urls.iter().map(|url| url.as_ref().to_owned()).collect();
        let viewers = Self::start(Batch { count, urls, ..Batch::default() })?;
        viewers.opened(Duration::from_secs(10 + count as u64 / 500))?;
        Ok(viewers)
    }

    /// Begins to open viewers, and returns at once.
    ///
    /// # Errors
    /// If no thread or process could be started.
    pub fn start(batch: Batch) -> Result<Self, ViewersError> {
        match batch.count.div_ceil(capacity()) {
            0 | 1 => Self::start_in_thread(&batch),
            processes => Self::start_in(processes, &batch),
        }
    }

    /// Begins to open any number of viewers in this process, and returns at once.
    ///
    /// # Errors
    /// If no thread could be started.
    pub fn start_in_thread(batch: &Batch) -> Result<Self, ViewersError> {
        let viewers = Self { workers: vec![WorkerHandle::thread()?] };
        viewers.add(batch)?;
        Ok(viewers)
    }

    /// Begins to open viewers in this number of other processes, and returns at once.
    ///
    /// # Errors
    /// If a process could not be started.
    pub fn start_in(processes: usize, batch: &Batch) -> Result<Self, ViewersError> {
        let workers = (0..processes.max(1)).map(|_| WorkerHandle::process()).collect::<Result<_, _>>()?;
        let viewers = Self { workers };
        viewers.add(batch)?;
        Ok(viewers)
    }

    /// Begins to open more viewers, spread over the existing processes.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn add(&self, batch: &Batch) -> Result<Snapshot, ViewersError> {
        let workers = self.workers.len();
        self.merged(self.workers.iter().enumerate().map(|(index, worker)| {
            let mut part = batch.clone();
            part.count = share(batch.count, workers, index);
            part.per_second = batch.per_second.map(|rate| rate / workers as f64);
            // Each process begins at another URL, so that the remainders are spread too.
            let turn = index % part.urls.len().max(1);
            part.urls.rotate_left(turn);
            (worker, Command::Open(part))
        }))
    }

    /// Waits until each viewer has seen an image.
    ///
    /// # Errors
    /// If the time runs out, or any viewer was lost.
    pub fn opened(&self, within: Duration) -> Result<Snapshot, ViewersError> {
        let (_, snapshot) = self.reach(Goal::Opened, within)?;
        if snapshot.lost() > 0 {
            return Err(ViewersError::NotOpened(Box::new(snapshot)));
        }
        Ok(snapshot)
    }

    /// Waits until all live viewers show `number`, and returns how long that took from now.
    ///
    /// # Errors
    /// If the time runs out; with what they show instead.
    pub fn all_see(&self, number: u64, within: Duration) -> Result<Duration, ViewersError> {
        Ok(self.reach(Goal::Number(number), within)?.0)
    }

    /// Waits for `goal`, and returns how long that took from now, and the state of the viewers then.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn reach(&self, goal: Goal, within: Duration) -> Result<(Duration, Snapshot), ViewersError> {
        let begun = now_ns();
        let mut replies = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            replies.push(worker.ask(Command::Await { goal: self.part_of(goal), within })?);
        }
        let mut all = Reply { reached_ns: Some(begun), snapshot: Snapshot::default() };
        for pending in replies {
            let reply = pending.wait()?;
            all.reached_ns = all.reached_ns.zip(reply.reached_ns).map(|(one, other)| one.max(other));
            all.snapshot.merge(reply.snapshot);
        }
        match all.reached_ns {
            Some(reached) => Ok((between(begun, reached), all.snapshot)),
            None => Err(ViewersError::TimedOut { goal, within, snapshot: Box::new(all.snapshot) }),
        }
    }

    /// The goal of each process, so that all together reach `goal`.
    fn part_of(&self, goal: Goal) -> Goal {
        match goal {
            Goal::AtMostLive(viewers) => Goal::AtMostLive(viewers / self.workers.len()),
            Goal::Parts(parts) => Goal::Parts(parts.div_ceil(self.workers.len() as u64)),
            Goal::Stale(viewers) => Goal::Stale(viewers / self.workers.len()),
            Goal::Opened | Goal::Number(_) | Goal::NoneStale | Goal::Other(_) => goal,
        }
    }

    /// Closes the connections of the `count` newest viewers.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn close(&self, count: usize) -> Result<Snapshot, ViewersError> {
        self.leave(count, Which::Newest, CloseMode::Close)
    }

    /// Ends the connections of `count` viewers.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn leave(&self, count: usize, which: Which, mode: CloseMode) -> Result<Snapshot, ViewersError> {
        self.shared(count, |count| Command::Close { count, which, mode })
    }

    /// Stops reading from the connections of `count` viewers.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn stall(&self, count: usize, which: Which) -> Result<Snapshot, ViewersError> {
        self.shared(count, |count| Command::Stall { count, which })
    }

    /// Reads again from all connections that were stalled.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn resume(&self) -> Result<Snapshot, ViewersError> {
        self.broadcast(&Command::Resume)
    }

    /// From now on, records when each viewer shows `number`, as time since `since_ns` of the monotonic clock
    /// ([`crate::clock::now_ns`]); see [`Snapshot::marked`].
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn mark(&self, number: u64, since_ns: u64) -> Result<Snapshot, ViewersError> {
        self.broadcast(&Command::Mark { number, since_ns })
    }

    /// From now on, records for each join, or each leave, when the `watchers` viewers that came first show a number
    /// that includes it; see [`Snapshot::track`]. `base` is the number now. Only within one process.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn track(&self, base: u64, direction: Direction, watchers: u32) -> Result<Snapshot, ViewersError> {
        self.broadcast(&Command::Track { base, direction, watchers })
    }

    /// Forgets the lowest and the highest number seen so far.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn forget_extremes(&self) -> Result<Snapshot, ViewersError> {
        self.broadcast(&Command::ForgetExtremes)
    }

    /// The state of the viewers.
    ///
    /// # Errors
    /// If the viewers' thread or process is gone.
    pub fn snapshot(&self) -> Result<Snapshot, ViewersError> {
        self.broadcast(&Command::Snapshot)
    }

    /// The ids of the other processes that drive viewers.
    pub fn processes(&self) -> Vec<u32> {
        self.workers.iter().filter_map(WorkerHandle::process_id).collect()
    }

    fn broadcast(&self, command: &Command) -> Result<Snapshot, ViewersError> {
        self.merged(self.workers.iter().map(|worker| (worker, command.clone())))
    }

    fn shared(&self, count: usize, command: impl Fn(usize) -> Command) -> Result<Snapshot, ViewersError> {
        let workers = self.workers.len();
        self.merged(
            self.workers.iter().enumerate().map(|(index, worker)| (worker, command(share(count, workers, index)))),
        )
    }

    fn merged<'a>(&self, orders: impl Iterator<Item = (&'a WorkerHandle, Command)>) -> Result<Snapshot, ViewersError> {
        let pending = orders.map(|(worker, command)| worker.ask(command)).collect::<Result<Vec<_>, _>>()?;
        let mut all = Snapshot::default();
        for pending in pending {
            all.merge(pending.wait()?.snapshot);
        }
        Ok(all)
    }
}

/// The number of viewers that one process can hold.
pub fn capacity() -> usize {
    open_files().saturating_sub(RESERVED_FILES).clamp(1, VIEWERS_PER_PROCESS)
}

/// The number of files that this process, or one that it starts, may have open.
pub fn open_files() -> usize {
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .expect("a process can read its own limits");
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// The share with this index when `count` is split into `shares`.
fn share(count: usize, shares: usize, index: usize) -> usize {
    count / shares + usize::from(index < count % shares)
}
