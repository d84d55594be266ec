//! The client and the proxy against real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broken;
mod foreign;
mod proxy;
mod server;
mod viewers;
