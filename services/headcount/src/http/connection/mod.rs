//! Connections of the public port, from accept until hyper has served them or the engine owns their socket.

mod accept;
mod client_ip;
mod connection_info;
mod detect;
mod error_body;
mod handoff;
mod idle;
mod proxy_protocol;
mod refusal;
mod response_body;
mod response_budget;
mod rewind;
mod serve;
mod stream_reset;
mod unread;

pub(crate) use self::accept::{AcceptLimits, Acceptor, listen};
pub(crate) use self::client_ip::{ForwardedHeader, TrustedProxies};
pub(crate) use self::connection_info::ConnectionInfo;
pub(crate) use self::handoff::NewViewer;
pub(crate) use self::proxy_protocol::parse as parse_proxy_header;
pub(crate) use self::response_body::FirstFrameSent;
pub(crate) use self::stream_reset::stream_reset;
