//! [`HeldViewer`]: a viewer outside of any engine, on its way from one process to the next.

use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;

/// A viewer taken out of an engine between two writes. Nobody writes to its socket until another engine, in this process
/// or in another, [resumes](crate::FeedHandle::resume) it.
#[derive(Debug)]
pub struct HeldViewer<A> {
    /// The viewer's socket.
    pub socket: OwnedFd,
    /// The viewer's attachment.
    pub attachment: A,
    /// How far its stream has been written and read.
    pub progress: StreamProgress,
}

/// How far a viewer's stream has been written and read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamProgress {
    /// The rest of a part whose beginning was written. It must be written before anything else. Empty unless the viewer
    /// lags.
    pub unsent: Bytes,
    /// `unsent` ends with the viewer's first frame.
    pub first_frame: bool,
    /// How long ago the viewer last took a byte. Zero unless it lags.
    pub stalled_for: Duration,
    /// Bytes that the viewer has sent after its request.
    pub input_bytes: u32,
    /// Frames that it has been sent since its first, those that keep a quiet stream alive included.
    pub frames: u16,
}
