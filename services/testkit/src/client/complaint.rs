//! [`Complaint`]: what is wrong with a viewer's stream.

use std::io;

use headcount_wire::{ReadError, events::LongEvent, html::LongUpdate};

use super::{pictures::PictureError, response::ResponseError, target::TargetError};

/// What is wrong with a viewer's stream.
#[derive(Debug, thiserror::Error)]
pub enum Complaint {
    /// The URL cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The connection was not established.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Socket(io::Error),
    /// The response is not an image stream.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// The multipart framing is broken.
    #[error(transparent)]
    Framing(#[from] ReadError),
    /// A picture is wrong.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A stream of text is wrong.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A state older than the one before it was shown.
    #[error("in epoch {epoch}, version {to} came after {from}")]
    WentBack {
        /// The epoch of both.
        epoch: u64,
        /// The version shown first.
        from: u64,
        /// The older version shown after it.
        to: u64,
    },
}

/// What is wrong with a stream of text.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// An event does not end.
    #[error(transparent)]
    LongEvent(#[from] LongEvent),
    /// An update does not end.
    #[error(transparent)]
    LongUpdate(#[from] LongUpdate),
    /// An event has other data than a counter's.
    #[error("an event has the data {data:?}: {source}")]
    Event {
        /// The data.
        data: String,
        /// The parser's error.
        source: serde_json::Error,
    },
}
