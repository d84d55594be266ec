//! Opens real viewers, breaks things, and says whether the number was right: the client ([`client`]), the rig that
//! starts and breaks real processes ([`rig`]), and the clock and distributions that both measure with.

pub mod client;
pub mod clock;
mod latencies;
mod priority;
pub mod rig;

pub use client::{Farewell, Goal, Manner, Opening, Snapshot, Viewers, ViewersError, Which};
pub use latencies::Latencies;
pub use priority::prefer_this_thread;
