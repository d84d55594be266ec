//! How an accepted stream's socket leaves hyper: the handler puts its decision here and never answers; the task that
//! drives the connection sees it, stops driving, and gives the socket to the engine.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::feeds::{Feed, ViewerAttachment};

/// A stream that has been accepted, without its socket.
pub(in crate::http) struct NewViewer {
    /// What the viewer will watch.
    pub(in crate::http) feed: Arc<Feed>,
    /// The response's head and the stream's opening.
    pub(in crate::http) head: Bytes,
    /// The viewer's registration.
    pub(in crate::http) viewer: ViewerAttachment,
}

/// The place between a handler and its connection's task.
#[derive(Clone, Default)]
pub(in crate::http) struct Handoff(Arc<Slot>);

#[derive(Default)]
struct Slot {
    new_viewer: Mutex<Option<NewViewer>>,
    given: Notify,
}

impl Handoff {
    /// The handler's side. Await something endless behind it: the response must never be made.
    pub(in crate::http) fn give(&self, new_viewer: NewViewer) {
        *self.0.new_viewer.lock().unwrap_or_else(PoisonError::into_inner) = Some(new_viewer);
        self.0.given.notify_one();
    }

    /// The connection's side: waits for a new viewer.
    pub(in crate::http) async fn taken(&self) -> NewViewer {
        loop {
            self.0.given.notified().await;
            if let Some(new_viewer) = self.0.new_viewer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return new_viewer;
            }
        }
    }
}
