//! The connections of the public port.

mod accept;
mod busy;
mod client_ip;
mod error_body;
mod handoff;
mod idle;
mod proxy_protocol;
mod serve;

pub(crate) use self::accept::{Acceptor, Limits};
pub(crate) use self::client_ip::Trust;
pub(in crate::http) use self::handoff::Adoption;
pub(crate) use self::proxy_protocol::parse_proxy as proxy_header;
pub(in crate::http) use self::serve::Origin;
