//! How an accepted stream's socket leaves hyper: the handler puts its decision here and never answers; the task that
//! drives the connection sees it, stops driving, and gives the socket to the engine.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::feeds::{LiveFeed, Viewer};

/// A stream that has been accepted, without its socket.
pub(in crate::http) struct Adoption {
    /// What the viewer will watch.
    pub(in crate::http) feed: Arc<LiveFeed>,
    /// The response's head and the stream's opening.
    pub(in crate::http) head: Bytes,
    /// The viewer's registration.
    pub(in crate::http) viewer: Viewer,
}

/// The place between a handler and its connection's task.
#[derive(Clone, Default)]
pub(in crate::http) struct Handoff(Arc<Slot>);

#[derive(Default)]
struct Slot {
    adoption: Mutex<Option<Adoption>>,
    given: Notify,
}

impl Handoff {
    /// The handler's side. Await something endless behind it: the response must never be made.
    pub(in crate::http) fn give(&self, adoption: Adoption) {
        *self.0.adoption.lock().unwrap_or_else(PoisonError::into_inner) = Some(adoption);
        self.0.given.notify_one();
    }

    /// The connection's side: waits for an adoption.
    pub(in crate::http) async fn taken(&self) -> Adoption {
        loop {
            self.0.given.notified().await;
            if let Some(adoption) = self.0.adoption.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return adoption;
            }
        }
    }
}
