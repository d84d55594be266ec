//! [`Frame`]: one update of a feed, as the bytes that all its viewers share.

use std::sync::Arc;

use bytes::Bytes;

/// One update of a feed in the bytes of its format, which the engine does not know. A viewer may miss any frame but the
/// newest, and may get one twice, so each must be complete without the ones before it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Arc<FrameBytes>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FrameBytes {
    update: Bytes,
    keepalive: Bytes,
    ending: Bytes,
}

impl Frame {
    /// A frame of these bytes. They are also what keeps a quiet stream alive, and a stream ends without another byte.
    pub fn new(update: impl Into<Bytes>) -> Self {
        let update = update.into();
        Self(Arc::new(FrameBytes { keepalive: update.clone(), update, ending: Bytes::new() }))
    }

    /// This frame, but `keepalive` is what keeps a quiet stream alive while it is the newest.
    pub fn with_keepalive(self, keepalive: impl Into<Bytes>) -> Self {
        self.with(|bytes| bytes.keepalive = keepalive.into())
    }

    /// This frame, but `ending` is what streams end with on purpose while it is the newest, whatever frame they have got.
    pub fn with_ending(self, ending: impl Into<Bytes>) -> Self {
        self.with(|bytes| bytes.ending = ending.into())
    }

    /// What a viewer is sent.
    pub fn bytes(&self) -> &Bytes {
        &self.0.update
    }

    /// What a viewer is sent after the keep-alive interval without another frame.
    pub fn keepalive(&self) -> &Bytes {
        &self.0.keepalive
    }

    /// A stream's last bytes. May be empty.
    pub fn ending(&self) -> &Bytes {
        &self.0.ending
    }

    fn with(mut self, change: impl FnOnce(&mut FrameBytes)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}
