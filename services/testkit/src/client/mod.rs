//! Viewers by the thousand: [`Viewers`] opens them, lets them leave, stall and resume, and reports what they see.
//!
//! One thread with one poller drives all sockets of a process. If there are more viewers than a process may have open
//! files, `headcount-load` runs itself again as often as needed; see [`worker_handle`].

mod command;
mod complaint;
mod connect;
mod pending;
mod pictures;
mod response;
mod scanner;
mod snapshot;
mod statistics;
mod target;
mod viewer;
mod viewers;
mod worker;
pub mod worker_handle;

pub use command::{Batch, CloseMode, Direction, Goal, Which};
pub use complaint::{Complaint, TextError};
pub use pictures::{PictureCheck, PictureError};
pub use response::ResponseError;
pub(crate) use response::{Chunks, head};
pub use snapshot::{Snapshot, Tracked};
pub use target::{Behaviour, ProxyHeader, TargetError};
pub use viewers::{Viewers, ViewersError, capacity, open_files};
