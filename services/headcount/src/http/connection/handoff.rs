//! Passes a new viewer from its request's handler to the connection's task, which stops driving hyper and moves the
//! socket into the engine.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::feeds::{Feed, ViewerAttachment};

/// A viewer that has been admitted, without its socket.
pub(crate) struct NewViewer {
    /// The feed that it views.
    pub(crate) feed: Arc<Feed>,
    /// The response's head and the stream's opening.
    pub(crate) head: Bytes,
    /// What the engine keeps with the viewer.
    pub(crate) attachment: ViewerAttachment,
}

/// A slot for one viewer. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Handoff(Arc<Slot>);

#[derive(Default)]
struct Slot {
    viewer: Mutex<Option<NewViewer>>,
    filled: Notify,
}

impl Handoff {
    /// Puts a viewer into the slot. The caller must not return a response afterwards: hyper would write it to the
    /// socket.
    pub(crate) fn send(&self, viewer: NewViewer) {
        *self.0.viewer.lock() = Some(viewer);
        self.0.filled.notify_one();
    }

    /// Waits for a viewer.
    pub(super) async fn receive(&self) -> NewViewer {
        loop {
            self.0.filled.notified().await;
            if let Some(viewer) = self.0.viewer.lock().take() {
                return viewer;
            }
        }
    }
}
