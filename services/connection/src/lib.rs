//! Connections of a service on the viewer engine: hyper reads a request, and where the answer is a stream, the socket leaves
//! hyper for the engine.
//!
//! [`accept`] serves HTTP/1 so, in the simplest form that holds its bounds. What headcount itself adds, as HTTP/2 and a reload
//! without an interruption, is in its own crate. [`TrustedProxies`] and [`parse_proxy_header`] serve both: they tell whose request
//! it is.

mod client_ip;
mod proxy_protocol;
mod serve;

pub use client_ip::{ForwardedHeader, TrustedProxies};
pub use proxy_protocol::{MalformedHeader, Proxied, parse as parse_proxy_header};
pub use serve::{Connection, NewViewer, accept};
