//! The little that presence wants to know about whoever opens a stream.

use std::net::IpAddr;

/// Who asks for a registration. Neither field is stored or logged. The user agent goes into a keyed hash and is forgotten; the
/// address, cut to its network, stays in this process's memory while the registration lives.
#[derive(Clone)]
pub struct Client {
    /// The client's address, as the load balancer or the socket tells it.
    pub ip: IpAddr,
    /// The request's `User-Agent`, empty if there is none.
    pub user_agent: Vec<u8>,
}
