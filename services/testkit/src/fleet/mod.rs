//! Nodes with viewers, whose true number is known at every moment.

mod fleet;
mod fleet_error;
mod node_with_viewers;
mod silent_viewer;

pub use fleet::{Fleet, Marked};
pub use fleet_error::FleetError;
pub use node_with_viewers::{COUNTER, NodeWithViewers, stream};
pub use silent_viewer::SilentViewer;
