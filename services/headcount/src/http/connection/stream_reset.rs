//! Resets one HTTP/2 stream of a connection.
//!
//! hyper polls a body only if the client's window has room for it, so a body cannot end a stream that its client does not
//! read. Each stream is a task, and dropping it resets the stream.

use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static RESET: CancellationToken;
}

/// Spawns hyper's tasks, one for each stream.
#[derive(Clone)]
pub(super) struct StreamExecutor;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let reset = CancellationToken::new();
        tokio::spawn(RESET.scope(reset.clone(), async move {
            tokio::select! {
                biased;
                () = stream => {}
                () = reset.cancelled() => {}
            }
        }));
    }
}

/// Returns the token that resets the stream whose request is being handled.
pub(crate) fn stream_reset() -> CancellationToken {
    RESET.try_with(Clone::clone).unwrap_or_default()
}
