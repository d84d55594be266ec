//! The subcommands other than `serve`.

pub(crate) mod check;
mod client;
pub(crate) mod completions;
pub(crate) mod draw;
mod frame_reader;
pub(crate) mod healthcheck;
pub(crate) mod man;
pub(crate) mod reload;
pub(crate) mod sign;
pub(crate) mod status;
pub(crate) mod watch;
