//! [`Process`]: a child that is killed when it is dropped.

use std::{
    collections::BTreeSet,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use crate::priority;
use parking_lot::Mutex;

use crate::{Error, Usage, usage, wait_until};

/// The process groups of all children that have not been waited for.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// `kill -9` to every [`Process`] of this program and those that they started: for an exit that drops nothing.
pub fn kill_all() {
    for group in GROUPS.lock().iter() {
        let _ = signal::killpg(Pid::from_raw(*group), Signal::SIGKILL);
    }
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    program: PathBuf,
}

impl Process {
    /// Starts `command`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command) -> Result<Self, Error> {
        // Ctrl-C at a terminal goes to the whole foreground group; what is to end, and in which order, is decided here.
        command.process_group(0);
        let program = PathBuf::from(command.get_program());
        // Held over the start, or `kill_all` would miss a child that is just being born.
        let mut groups = GROUPS.lock();
        let child = command.spawn().map_err(|source| Error::Start { program: program.clone(), source })?;
        let process = Self { child, program };
        groups.insert(process.pid().as_raw());
        Ok(process)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit"))
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Raises the priority of its first thread above that of the nodes, as if it had a machine to itself. Has no effect
    /// without root.
    pub fn prefer(&self) {
        priority::prefer(rustix::process::Pid::from_raw(self.pid().as_raw()));
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        signal::kill(self.pid(), signal)
            .map_err(|error| Error::io(format!("{signal} to {:?}", self.program))(error.into()))
    }

    /// `kill -9` to the process and those that it started, and waits until it is gone.
    pub fn kill(&mut self) {
        // Its children are in its group: workers of an nginx whose master alone is killed would live on. The id of one
        // that has ended may be another's by now.
        if self.is_alive() {
            let _ = signal::killpg(self.pid(), Signal::SIGKILL);
        }
        let _ = self.child.wait();
        GROUPS.lock().remove(&self.pid().as_raw());
    }

    /// Stops its execution (SIGSTOP).
    ///
    /// # Errors
    /// If the process has ended.
    pub fn freeze(&self) -> Result<(), Error> {
        self.signal(Signal::SIGSTOP)
    }

    /// Continues its execution (SIGCONT).
    ///
    /// # Errors
    /// If the process has ended.
    pub fn thaw(&self) -> Result<(), Error> {
        self.signal(Signal::SIGCONT)
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn stop(&mut self, within: Duration) -> Result<ExitStatus, Error> {
        self.signal(Signal::SIGTERM)?;
        self.ended(within)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn ended(&mut self, within: Duration) -> Result<ExitStatus, Error> {
        let what = format!("the end of {:?}", self.program);
        wait_until(&what, within, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// What it uses, its own children included.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn usage(&self) -> Result<Usage, Error> {
        usage::of_family(self.id()).map_err(Error::io(format!("what {:?} uses", self.program)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
