//! [`Lateness`]: how busy the machine is with other things, by how late it wakes a thread that does nothing.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use headcount_load::Latencies;

/// From one look at the clock to the next.
const NAP: Duration = Duration::from_millis(2);

/// Measures until it is asked.
pub(crate) struct Lateness {
    end: mpsc::Sender<()>,
    sleeper: JoinHandle<Latencies>,
}

impl Lateness {
    pub(crate) fn begin() -> Self {
        let (end, ended) = mpsc::channel();
        let sleeper = thread::spawn(move || {
            let mut late = Latencies::default();
            loop {
                let due = Instant::now() + NAP;
                match ended.recv_timeout(NAP) {
                    Err(RecvTimeoutError::Timeout) => late.record(due.elapsed()),
                    _ => return late,
                }
            }
        });
        Self { end, sleeper }
    }

    /// What 99 of 100 times did not exceed.
    pub(crate) fn p99(self) -> Duration {
        drop(self.end);
        self.sleeper.join().unwrap().quantile(0.99)
    }
}
