//! Tests of the binary: the bytes that it writes, its responses to good and bad requests, its shutdown, and other programs
//! that read its streams.
#![expect(clippy::unwrap_used, reason = "this crate contains only tests")]

mod bad_input;
mod charts;
mod check;
mod commands;
mod config_file;
mod config_file_errors;
mod documents;
mod draw_queue;
mod event_client;
mod exchange;
mod history;
mod hostile;
mod http2;
mod interop;
mod looks;
mod node;
mod options;
mod pages;
mod raw_http2;
mod reload;
mod reload_command;
mod requests;
mod shutdown;
mod small;
mod sprites;
mod stream;
mod systemd;
mod text_streams;
mod unread;
mod wire;
