//! Tests of the binary: the bytes that it writes, its responses to good and bad requests, its shutdown, and other programs
//! that read its streams.
#![expect(clippy::unwrap_used, reason = "this crate contains only tests")]

mod bad_input;
mod commands;
mod exchange;
mod hostile;
mod http2;
mod interop;
mod looks;
mod node;
mod options;
mod pages;
mod raw_http2;
mod shutdown;
mod stream;
mod unread;
mod wire;
