//! Presence shared by all nodes. The only module that uses Redis.
//!
//! Each counter that is live on this node has a reporter (`reporter.rs`), which reports joins and leaves under the
//! node's lease, and a view (`counter_view.rs`), which decides what is shown. While nothing changes, leases are renewed
//! many at once (`renewals.rs`). A node has one connection for commands
//! (`command_connection.rs`) and one for messages (`subscription.rs`). What counts, and when a lease has ended, is
//! decided by the Lua scripts by Redis's clock. The keys are listed in `keys.rs`.

mod addresses;
mod backend;
mod backoff;
mod call_error;
mod clock;
mod command_connection;
mod connect;
mod counter_state;
mod counter_view;
mod data_identity;
pub(crate) mod fuzzing;
mod history;
mod keys;
mod memory;
mod node;
mod node_list;
#[cfg(test)]
mod property;
mod reaper;
mod renewals;
mod reply;
mod report_schedule;
mod reporter;
#[cfg(test)]
mod script_tests;
mod scripts;
mod sessions;
mod shared_keys;
mod status;
mod subscription;
mod url;
mod visitor_key;

pub(crate) use backend::{RedisBackend, RedisState};
pub use connect::ConnectError;
pub use status::StatusError;
pub(crate) use status::read as read_status;
pub use url::{CertificatesError, RedisUrl, RedisUrlError};
