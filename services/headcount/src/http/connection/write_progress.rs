//! [`WriteProgress`]: whether bytes of an HTTP/2 viewer's stream wait to be written to the socket, and since when. If they make
//! no progress for the stall limit, the stream is reset, and the others of its connection go on.
//!
//! hyper polls a body again once it has passed on the bytes that it took from it, and for that the client's window must have room
//! for one byte. Then an error of the body resets the stream, and what h2 has queued of it is dropped. Without any room the body
//! is not polled, but nothing is queued either: each stream is a task, and dropping it resets the stream.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Time after the stall limit at which a stream whose body is not polled is dropped.
const UNPOLLED: Duration = Duration::from_millis(100);

tokio::task_local! {
    static PROGRESS: Arc<WriteProgress>;
}

/// How far the bytes of one stream have been written. Only those of a viewer are recorded.
#[derive(Debug)]
pub(crate) struct WriteProgress {
    stall_limit: Duration,
    /// When the waiting bytes last made progress. `None` while nothing waits.
    waiting_since: Mutex<Option<Instant>>,
    /// Notified when everything has been written.
    written: Notify,
}

impl WriteProgress {
    fn new(stall_limit: Duration) -> Arc<Self> {
        Arc::new(Self { stall_limit, waiting_since: Mutex::default(), written: Notify::new() })
    }

    /// The progress of the HTTP/2 stream whose request is being handled.
    pub(crate) fn of_this_stream() -> Arc<Self> {
        PROGRESS.with(Arc::clone)
    }

    /// Waits until no bytes wait.
    ///
    /// # Errors
    /// Fails if they make no progress for the stall limit.
    pub(crate) async fn written(&self) -> Result<(), Stalled> {
        let written = async {
            while self.waiting_since.lock().is_some() {
                self.written.notified().await;
            }
        };
        tokio::select! {
            biased;
            () = written => Ok(()),
            () = self.stalled() => Err(Stalled),
        }
    }

    /// Called when hyper takes bytes.
    pub(super) fn begin(&self) {
        *self.waiting_since.lock() = Some(Instant::now());
    }

    /// Called when some of the bytes have been written, and this many are left.
    pub(super) fn progressed(&self, left: usize) {
        *self.waiting_since.lock() = (left > 0).then(Instant::now);
        if left == 0 {
            self.written.notify_one();
        }
    }

    /// Waits until bytes have made no progress for the stall limit.
    async fn stalled(&self) {
        loop {
            let since = self.waiting_since.lock().unwrap_or_else(Instant::now);
            if since.elapsed() >= self.stall_limit {
                return;
            }
            tokio::time::sleep_until(since + self.stall_limit).await;
        }
    }
}

/// The client has taken nothing for the stall limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client takes nothing")]
pub(crate) struct Stalled;

/// Spawns hyper's tasks, one for each stream of a connection.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    /// Time after which a stream that makes no progress is reset.
    pub(super) stall_limit: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let progress = WriteProgress::new(self.stall_limit);
        tokio::spawn(PROGRESS.scope(Arc::clone(&progress), async move {
            tokio::select! {
                biased;
                () = stream => {}
                () = async {
                    progress.stalled().await;
                    tokio::time::sleep(UNPOLLED).await;
                } => {}
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL_LIMIT: Duration = Duration::from_secs(25);

    #[tokio::test(start_paused = true)]
    async fn only_bytes_without_progress_stall() {
        let progress = WriteProgress::new(STALL_LIMIT);
        let stalls = async |time| tokio::time::timeout(time, progress.stalled()).await.is_ok();
        assert!(!stalls(STALL_LIMIT * 3).await, "nothing waits");
        progress.begin();
        for left in [300, 200, 100] {
            assert!(!stalls(STALL_LIMIT / 2).await);
            progress.progressed(left);
        }
        progress.progressed(0);
        assert_eq!(progress.written().await, Ok(()));
        assert!(!stalls(STALL_LIMIT * 3).await, "all of it has been written");
        progress.begin();
        let begun = Instant::now();
        assert_eq!(progress.written().await, Err(Stalled));
        assert_eq!(begun.elapsed(), STALL_LIMIT);
    }
}
