//! What a request's handler knows of the request's connection.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use headcount_connection::TrustedProxies;

use super::handoff::Handoff;

/// A request's connection. Every request carries it as an extension.
#[derive(Clone)]
pub(crate) struct ConnectionInfo {
    pub(super) peer_ip: IpAddr,
    pub(super) proxies: Arc<TrustedProxies>,
    /// Whether the PROXY header says that the client's own connection is encrypted.
    pub(super) tls: bool,
    /// Passes a viewer to the connection's task. `None` for HTTP/2, where streams share the connection.
    pub(crate) handoff: Option<Handoff>,
}

impl ConnectionInfo {
    /// Returns the client's address, as named by trusted proxies in `headers` if the request came through one.
    pub(crate) fn client_ip(&self, headers: &HeaderMap) -> IpAddr {
        self.proxies.client_ip(self.peer_ip, headers)
    }

    /// Returns whether trusted proxies say that the client's own connection is encrypted.
    pub(crate) fn is_https(&self, headers: &HeaderMap) -> bool {
        self.tls || self.proxies.is_https(self.peer_ip, headers)
    }
}
