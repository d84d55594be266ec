//! Who is here: a viewer takes a [`Registration`] at a [`Counter`], and everybody who watches the counter sees the number.
//!
//! [`Presence`] is the way in. Its embedded kind counts within one process; its Redis kind agrees on one number with
//! every other node. Both offer the same interface and the same semantics, so that the rest of the service never knows
//! which one it talks to.

mod address_limiter;
mod address_limits;
mod admission_error;
mod client;
mod counter;
#[doc(hidden)]
pub mod fuzzing;
mod grace_period;
mod health;
mod local_viewers;
mod metrics;
mod name;
mod network;
#[cfg(feature = "planted-mistakes")]
mod planted_bugs;
mod presence;
mod reading;
mod redis;
mod registration;
mod settings;
mod visitor;

pub use crate::redis::{ConnectError, CounterStatus, RedisUrl, RedisUrlError, SessionStatus, Status, StatusError};
pub use address_limits::AddressLimits;
pub use admission_error::AdmissionError;
pub use client::Client;
pub use counter::Counter;
pub use health::Health;
pub use name::{CounterName, NameError};
pub use presence::Presence;
pub use reading::Reading;
pub use registration::Registration;
pub use settings::{Settings, Timing};
