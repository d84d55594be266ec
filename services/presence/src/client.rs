//! What presence needs to know about a client.

use std::net::IpAddr;

/// A client that asks for a registration. Neither field is stored or logged. The user agent is only hashed; the
/// address, cut to its network, stays in this process's memory as long as the registration.
#[derive(Clone)]
pub struct Client {
    /// The client's address, from the socket or from a trusted proxy.
    pub ip: IpAddr,
    /// The request's `User-Agent`, empty if there is none.
    pub user_agent: Vec<u8>,
}
