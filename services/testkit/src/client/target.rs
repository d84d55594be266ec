//! What a viewer requests, and how it behaves.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use serde::{Deserialize, Serialize};

use super::pictures::PictureCheck;

/// Why a URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is not `http://host[:port]/path`.
    #[error("{0:?} is not http://host[:port]/path")]
    Malformed(String),
    /// Its name has no address.
    #[error("{url:?} cannot be looked up: {source}")]
    Unknown {
        /// The address.
        url: String,
        /// The resolver's error.
        source: io::Error,
    },
}

/// The parts of a stream's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    authority: String,
    path: String,
}

impl Target {
    /// Reads `http://host:port/path?query`; the name is looked up once.
    pub(crate) fn parse(url: &str) -> Result<Self, TargetError> {
        let malformed = || TargetError::Malformed(url.into());
        let rest = url.strip_prefix("http://").ok_or_else(malformed)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let with_port = if authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let addresses =
            with_port.to_socket_addrs().map_err(|source| TargetError::Unknown { url: url.into(), source })?;
        let address = addresses.into_iter().next().ok_or_else(malformed)?;
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { address, authority: authority.into(), path: path.into() })
    }

    /// The query, empty if there is none.
    pub(crate) fn query(&self) -> &str {
        self.path.split_once('?').map_or("", |(_, query)| query)
    }

    /// What viewer number `ordinal` sends.
    pub(crate) fn request(&self, behaviour: &Behaviour, ordinal: u32) -> Vec<u8> {
        let mut request = match behaviour.proxy_header {
            Some(proxy_header) => proxy_header.header(ordinal, self.address.port()),
            None => Vec::new(),
        };
        request.extend_from_slice(format!("GET {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.authority).as_bytes());
        for (name, value) in &behaviour.headers {
            request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !behaviour.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            request.extend_from_slice(b"User-Agent: headcount-load\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

/// The behaviour of viewers apart from the stream that they request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behaviour {
    /// Request headers in addition to `Host`; a `User-Agent` replaces the default.
    pub headers: Vec<(String, String)>,
    /// The PROXY protocol header before the request.
    pub proxy_header: Option<ProxyHeader>,
    /// The local address that connections come from: each has some 28,000 ports for one destination.
    pub source: Option<Ipv4Addr>,
    /// `SO_RCVBUF` in bytes; small, where a viewer that stops reading should be noticed soon.
    pub receive_buffer: Option<usize>,
    /// How strictly pictures are checked.
    pub check: PictureCheck,
    /// The boundary of streams that begin within their first part and do not name it in their head, like nchan's raw
    /// streams.
    pub bare_boundary: Option<String>,
}

/// A PROXY protocol header, version 1: claims that a connection comes from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyHeader {
    /// The first viewer's claimed address.
    pub first: IpAddr,
    /// The number of addresses that are claimed in turn, beginning with `first`.
    pub distinct: u32,
}

impl ProxyHeader {
    /// The address that viewer number `ordinal` claims. Steps of IPv6 go through /64 networks: addresses within one are one
    /// visitor.
    pub(crate) fn address(self, ordinal: u32) -> IpAddr {
        let step = ordinal % self.distinct.max(1);
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().wrapping_add(step)).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().wrapping_add(u128::from(step) << 64)).into(),
        }
    }

    /// The header for viewer number `ordinal`, which connects to port `to`. Only the source tells the node anything.
    fn header(self, ordinal: u32, to: u16) -> Vec<u8> {
        let port = 1024 + u16::try_from(ordinal % 60_000).expect("below 60,000");
        let source = self.address(ordinal);
        let (family, destination) = if source.is_ipv4() { ("TCP4", "127.0.0.1") } else { ("TCP6", "::1") };
        format!("PROXY {family} {source} {destination} {port} {to}\r\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_the_request() {
        let target = Target::parse("http://127.0.0.1:8080/online.png?digits=6").unwrap();
        assert_eq!((target.address.port(), target.query()), (8080, "digits=6"));
        let behaviour = Behaviour { headers: vec![("User-Agent".into(), "x".into())], ..Behaviour::default() };
        let request = String::from_utf8(target.request(&behaviour, 0)).unwrap();
        assert_eq!(request, "GET /online.png?digits=6 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: x\r\n\r\n");
        assert!(Target::parse("https://127.0.0.1/").is_err());
        assert_eq!(Target::parse("http://127.0.0.1").unwrap().address.port(), 80);
    }

    #[test]
    fn proxy_headers_follow_the_protocol() {
        let v4 = ProxyHeader { first: "192.0.2.255".parse().unwrap(), distinct: 2 };
        assert_eq!(v4.header(3, 80), b"PROXY TCP4 192.0.3.0 127.0.0.1 1027 80\r\n");
        let v6 = ProxyHeader { first: "2001:db8::1".parse().unwrap(), distinct: 9 };
        assert_eq!(v6.header(1, 80), b"PROXY TCP6 2001:db8:0:1::1 ::1 1025 80\r\n");
    }
}
