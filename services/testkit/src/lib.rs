//! What tests and load tests share: viewers by the thousand ([`client`]), real processes that can be broken ([`rig`]), and
//! the clock and distributions that both measure with.

pub mod client;
pub mod clock;
mod latencies;
mod priority;
pub mod rig;

pub use client::{Farewell, Goal, Manner, Opening, Snapshot, Viewers, ViewersError, Which};
pub use latencies::Latencies;
pub use priority::prefer_this_thread;
