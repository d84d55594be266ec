//! The connections of the public port.

mod accept;
mod busy;
mod client_ip;
mod error_body;
mod handoff;
mod idle;
mod proxy_protocol;
mod serve;

pub(crate) use self::accept::{AcceptLimits, Acceptor};
pub(crate) use self::client_ip::TrustedProxies;
pub(in crate::http) use self::handoff::NewViewer;
pub(crate) use self::proxy_protocol::parse_proxy as proxy_header;
pub(in crate::http) use self::serve::ConnectionInfo;
