//! Presence: counts the viewers of each counter, within one process or together with all nodes of one Redis.
//!
//! [`Presence`] is the entry point. Each viewer holds a [`Registration`] at a [`Counter`], and watchers of the counter
//! receive its [`Reading`]s. Counting in the process and counting in Redis have the same interface and semantics, so
//! the rest of the service does not know which one it uses.

mod address_limiter;
mod address_limits;
mod admission_error;
mod change_schedule;
mod client;
mod counter;
mod counter_registry;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod history;
mod local_viewers;
mod metrics;
mod monotonic;
mod name;
mod network;
#[cfg(feature = "planted-mistakes")]
mod planted_bugs;
mod presence;
mod presence_state;
mod reading;
mod redis;
mod registration;
mod settings;
mod status;
mod versions;
mod viewer_id;
mod visitor;

pub use crate::redis::{CertificatesError, ConnectError, RedisUrl, RedisUrlError, StatusError};
pub use address_limits::AddressLimits;
pub use admission_error::AdmissionError;
pub use client::Client;
pub use counter::Counter;
pub use health::Health;
pub use history::{HistoryFile, HistoryFileError, HistoryRule, HistorySettings};
pub use name::{CounterName, NameError};
pub use network::Network;
pub use presence::Presence;
pub use presence_state::PresenceState;
pub use reading::Reading;
pub use registration::{Registration, RegistrationState};
pub use settings::{NodeDescription, Settings, Timing};
pub use status::{CounterStatus, NodeStatus, SessionStatus, Status};
pub use visitor::{Visitor, VisitorKey};
