//! What the engine's owner attaches to a viewer.

/// Travels with a viewer and is dropped on a shard's thread when the viewer has left.
///
/// Its methods and its drop delay all viewers of the shard, so they must be short and must not block.
pub trait Attachment: Send + 'static {
    /// The response's head and the first frame have been written to the last byte.
    ///
    /// Called at most once. Not called for a viewer that leaves earlier. By default nothing follows from it.
    fn first_frame_sent(&mut self) {}

    /// The engine has ended the stream because it has had its number of frames
    /// ([`FeedSettings::turn_over`](crate::FeedSettings::turn_over)): the viewer is expected back. By default it is dropped.
    fn turned_over(self)
    where
        Self: Sized,
    {
    }
}
