//! The binary from outside: what it writes to its sockets, what it makes of good and bad requests, how it ends, and
//! whether clients that nobody here wrote can read its streams.
#![expect(clippy::unwrap_used, reason = "this crate is nothing but tests")]

mod bad_input;
mod commands;
mod exchange;
mod hostile;
mod http2;
mod interop;
mod node;
mod options;
mod pages;
mod shutdown;
mod stream;
mod wire;
