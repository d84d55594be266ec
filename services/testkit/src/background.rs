//! [`Background`]: work that is repeated on a thread of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Work that is repeated until this is dropped.
#[derive(Debug)]
pub struct Background<T = ()> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Background<T> {
    /// Calls `step` with the state again and again.
    pub fn repeat(mut state: T, mut step: impl FnMut(&mut T) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                step(&mut state);
            }
            state
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends the work, and returns its state.
    ///
    /// # Panics
    /// If the work has panicked.
    pub fn end(mut self) -> T {
        self.join().expect("it is joined once")
    }
}

impl<T> Background<T> {
    fn join(&mut self) -> Option<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().expect("the work does not panic"))
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.join();
    }
}
