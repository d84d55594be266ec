//! What the engine's owner attaches to a viewer.

/// Travels with a viewer and is dropped on a shard's thread when the viewer has left.
///
/// Its methods and its drop delay all viewers of the shard, so they must be short and must not block.
pub trait Attachment: Send + 'static {
    /// The response's head and the first frame have been written to the last byte.
    ///
    /// Called at most once. Not called for a viewer that leaves earlier.
    fn first_frame_sent(&mut self);
}
