//! Who is here: a viewer takes a [`Registration`] at a [`Counter`], and everybody who watches the counter sees the number.
//!
//! [`Presence`] is the way in. Its embedded kind counts within one process; its Redis kind agrees on one number with
//! every other node. Both offer the same interface and the same semantics, so that the rest of the service never knows
//! which one it talks to.

mod client;
mod counter;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod grace;
mod health;
mod limits;
mod metrics;
mod name;
mod network;
#[cfg(feature = "planted-mistakes")]
mod planted;
mod presence;
mod reading;
mod refusal;
mod registration;
mod roll;
mod settings;
mod shared;
mod visitor;

pub use client::Client;
pub use counter::Counter;
pub use health::Health;
pub use limits::AddressLimits;
pub use name::{CounterName, NameError};
pub use presence::Presence;
pub use reading::Reading;
pub use refusal::AdmissionError;
pub use registration::Registration;
pub use settings::{Settings, Timing};
pub use shared::{ConnectError, CounterStatus, RedisUrl, RedisUrlError, SessionStatus, Status, StatusError};
