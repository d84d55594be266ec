//! Presence: counts the viewers of each counter, within one process or together with all nodes of one Redis.
//!
//! [`Presence`] is the entry point. Each viewer holds a [`Registration`] at a [`Counter`], and watchers of the counter
//! receive its [`Reading`]s. Counting in the process and counting in Redis have the same interface and semantics, so
//! the rest of the service does not know which one it uses.

mod address_limiter;
mod address_limits;
mod admission_error;
mod client;
mod counter;
mod counter_registry;
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
mod versions;
mod viewer_id;
mod visitor;

pub use crate::redis::{ConnectError, CounterStatus, RedisUrl, RedisUrlError, SessionStatus, Status, StatusError};
pub use address_limits::AddressLimits;
pub use admission_error::AdmissionError;
pub use client::Client;
pub use counter::Counter;
pub use health::Health;
pub use name::{CounterName, NameError};
pub use network::Network;
pub use presence::Presence;
pub use reading::Reading;
pub use registration::Registration;
pub use settings::{Settings, Timing};
