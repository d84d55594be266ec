//! [`NewViewer`]: a viewer on its way from its request's handler to the engine.

use std::sync::Arc;

use bytes::Bytes;

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

/// A slot for one viewer.
pub(crate) type Handoff = headcount_connection::Handoff<NewViewer>;
