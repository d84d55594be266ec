//! `WorkerHandle`: sends commands to a worker, which is a thread of this process or a process of its own.
//!
//! Between processes, each command and each reply is one line of JSON on the child's standard input and output. The child
//! ends when its input ends.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{ChildStdin, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use mio::{Poll, Waker};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    command::{Command, Reply},
    worker::{CommandWithReply, WAKER, Worker},
};
use crate::program;

/// The hidden subcommand by which `headcount-load` runs itself as a child.
pub const CHILD_COMMAND: &str = "crowd";

/// Why a worker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its thread or process could not be started.
    #[error("cannot start a worker: {0}")]
    Start(#[source] io::Error),
    /// Its process could not be started.
    #[error(transparent)]
    Process(#[from] crate::Error),
    /// Its thread or process is gone.
    #[error("a worker's thread or process is gone")]
    Gone,
    /// The program for the process was not found.
    #[error(transparent)]
    Program(#[from] program::ProgramError),
}

/// The handle of one worker.
pub(super) enum WorkerHandle {
    Thread { commands: mpsc::Sender<CommandWithReply>, waker: Waker, thread_handle: Option<thread::JoinHandle<()>> },
    Process(Process),
}

/// A worker in another process.
pub(super) struct Process {
    child: crate::Process,
    input: Mutex<ChildStdin>,
    answers: Arc<Mutex<HashMap<u64, mpsc::Sender<Reply>>>>,
    next_id: AtomicU64,
}

/// A reply that has not arrived yet.
pub(super) struct Pending(mpsc::Receiver<Reply>);

impl Pending {
    pub(super) fn wait(self) -> Result<Reply, WorkerError> {
        self.0.recv().map_err(|_| WorkerError::Gone)
    }
}

#[derive(Serialize, Deserialize)]
struct Request {
    id: u64,
    command: Command,
}

#[derive(Serialize, Deserialize)]
struct Response {
    id: u64,
    reply: Reply,
}

impl WorkerHandle {
    /// Starts a worker in a thread of this process.
    pub(super) fn thread() -> Result<Self, WorkerError> {
        let poll = Poll::new().map_err(WorkerError::Start)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(WorkerError::Start)?;
        let (commands, received) = mpsc::channel();
        let thread_handle = thread::Builder::new().name("viewers".into());
        let thread_handle =
            thread_handle.spawn(move || Worker::new(poll, received).run()).map_err(WorkerError::Start)?;
        Ok(Self::Thread { commands, waker, thread_handle: Some(thread_handle) })
    }

    /// Starts a worker in a process of its own.
    pub(super) fn process() -> Result<Self, WorkerError> {
        let path: PathBuf = program::find("headcount-load")?;
        let mut command = std::process::Command::new(path);
        command.arg(CHILD_COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = crate::Process::start(command)?;
        let input = Mutex::new(child.child().stdin.take().expect("it is piped"));
        let output = BufReader::new(child.child().stdout.take().expect("it is piped"));
        let answers: Arc<Mutex<HashMap<u64, mpsc::Sender<Reply>>>> = Arc::default();
        let awaited = Arc::clone(&answers);
        let reader = thread::Builder::new().name("viewers process".into());
        reader
            .spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    let Ok(Response { id, reply }) = serde_json::from_str(&line) else { break };
                    if let Some(answer) = awaited.lock().remove(&id) {
                        // The caller may have given up.
                        let _ = answer.send(reply);
                    }
                }
                awaited.lock().clear();
            })
            .map_err(WorkerError::Start)?;
        Ok(Self::Process(Process { child, input, answers, next_id: AtomicU64::new(0) }))
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        match self {
            Self::Thread { .. } => None,
            Self::Process(process) => Some(process.child.id()),
        }
    }

    pub(super) fn ask(&self, command: Command) -> Result<Pending, WorkerError> {
        let (answer, pending) = mpsc::channel();
        match self {
            Self::Thread { commands, waker, .. } => {
                let answer = Box::new(move |reply| {
                    // The caller may have given up.
                    let _ = answer.send(reply);
                });
                commands.send((command, answer)).map_err(|_| WorkerError::Gone)?;
                waker.wake().map_err(|_| WorkerError::Gone)?;
            }
            Self::Process(process) => {
                let id = process.next_id.fetch_add(1, Ordering::Relaxed);
                process.answers.lock().insert(id, answer);
                let line = serde_json::to_string(&Request { id, command }).expect("commands are plain data");
                let mut input = process.input.lock();
                writeln!(input, "{line}").map_err(|_| WorkerError::Gone)?;
            }
        }
        Ok(Pending(pending))
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        if let Self::Thread { .. } = self {
            // Fails if the worker has ended already.
            let _ = self.ask(Command::Stop);
        }
        // Joining the thread ensures that all sockets are closed when the handle has been dropped.
        if let Self::Thread { thread_handle, .. } = self
            && let Some(thread_handle) = thread_handle.take()
        {
            let _ = thread_handle.join();
        }
    }
}

/// Runs as the child: reads commands from standard input until it ends.
///
/// # Errors
/// If no worker can be started, or a command is malformed.
pub fn run_child() -> io::Result<()> {
    let worker = WorkerHandle::thread().map_err(io::Error::other)?;
    let WorkerHandle::Thread { commands, waker, .. } = &worker else { unreachable!("a thread was asked for") };
    for line in io::stdin().lock().lines() {
        let Request { id, command } = serde_json::from_str(&line?)?;
        let answer = Box::new(move |reply| {
            let line = serde_json::to_string(&Response { id, reply }).expect("replies are plain data");
            // Fails if the parent is gone; the end of the input follows.
            let _ = writeln!(io::stdout().lock(), "{line}");
        });
        commands.send((command, answer)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        waker.wake()?;
    }
    Ok(())
}
