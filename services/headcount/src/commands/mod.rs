//! The subcommands other than `serve`.

mod client;
pub(crate) mod draw;
pub(crate) mod healthcheck;
pub(crate) mod sign;
pub(crate) mod status;
pub(crate) mod watch;
