//! The client and the rig against servers that these tests, or others, have made.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broken;
mod foreign;
mod proxy;
mod server;
mod viewers;
