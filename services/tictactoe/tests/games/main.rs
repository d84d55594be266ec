//! The game over HTTP and in browsers: real nodes, a real Redis.

#![expect(clippy::unwrap_used, reason = "this crate contains only tests")]

mod browser;
mod browsers;
mod hostile;
mod node;
mod outages;
mod play;
mod size;
