//! Parses the PROXY protocol header, version 1 or 2, with which a load balancer names its client.

use std::net::SocketAddr;

use ppp::{HeaderResult, PartialResult, v1, v2};

/// First bytes of a version 1 header.
const V1_PREFIX: &[u8] = b"PROXY ";
/// Longest version 1 header, its CR LF included (from the PROXY protocol's specification, §2.1).
const MAX_V1_BYTES: usize = 107;
/// Longest header accepted. Version 2 carries addresses and TLVs, which are some hundred bytes even with a TLS client's
/// names.
pub(crate) const MAX_HEADER_BYTES: usize = 2048;

/// A trusted proxy's connection does not begin with a well-formed PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("missing or malformed PROXY header from a proxy that must send one")]
pub struct MalformedHeader;

/// What a header says of the client's connection to the load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxied {
    /// The client's address. A load balancer's own health check names none.
    pub source: Option<SocketAddr>,
    /// Whether the client's connection is encrypted: version 2's PP2_TYPE_SSL says so.
    pub tls: bool,
}

/// Set in PP2_TYPE_SSL's first byte if the client has connected over TLS (from the specification, §2.2.6).
const PP2_CLIENT_SSL: u8 = 1;

/// Returns the header's length and what it says, or `None` while it is incomplete.
///
/// # Errors
/// Fails if `bytes` do not begin with a header.
pub fn parse(bytes: &[u8]) -> Result<Option<(usize, Proxied)>, MalformedHeader> {
    // ppp takes some incomplete version 1 lines for malformed ones, and some with a CR but no LF for complete ones. So it
    // is given complete lines only.
    if bytes.starts_with(V1_PREFIX) {
        let line = &bytes[..bytes.len().min(MAX_V1_BYTES)];
        return match line.windows(2).position(|end| end == b"\r\n") {
            Some(end) => parse_v1_line(&line[..end + 2]).map(Some),
            None if bytes.len() < MAX_V1_BYTES => Ok(None),
            None => Err(MalformedHeader),
        };
    }
    let header = HeaderResult::parse(bytes);
    if header.is_incomplete() && bytes.len() < MAX_HEADER_BYTES {
        return Ok(None);
    }
    match header {
        HeaderResult::V2(Ok(header)) if header.header.len() > MAX_HEADER_BYTES => Err(MalformedHeader),
        HeaderResult::V2(Ok(header)) => {
            let tls = header.tlvs().map_while(Result::ok).any(|tlv| {
                tlv.kind == v2::Type::SSL as u8 && tlv.value.first().is_some_and(|flags| flags & PP2_CLIENT_SSL != 0)
            });
            let source = match (header.command, header.addresses) {
                (v2::Command::Local, _) => None,
                (_, v2::Addresses::IPv4(pair)) => Some((pair.source_address, pair.source_port).into()),
                (_, v2::Addresses::IPv6(pair)) => Some((pair.source_address, pair.source_port).into()),
                (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
            };
            Ok(Some((header.header.len(), Proxied { source, tls })))
        }
        HeaderResult::V1(_) | HeaderResult::V2(Err(_)) => Err(MalformedHeader),
    }
}

/// Parses a complete version 1 line.
fn parse_v1_line(line: &[u8]) -> Result<(usize, Proxied), MalformedHeader> {
    let header = v1::Header::try_from(line).map_err(|_| MalformedHeader)?;
    if header.header.len() != line.len() {
        return Err(MalformedHeader);
    }
    let source = match header.addresses {
        v1::Addresses::Tcp4(pair) => Some((pair.source_address, pair.source_port).into()),
        v1::Addresses::Tcp6(pair) => Some((pair.source_address, pair.source_port).into()),
        v1::Addresses::Unknown => None,
    };
    Ok((line.len(), Proxied { source, tls: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
        parse(bytes).expect("a well-formed header").map(|(bytes, proxied)| (bytes, proxied.source))
    }

    #[test]
    fn both_versions_name_the_client() {
        let v1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\nGET / HTTP/1.1\r\n";
        assert_eq!(source(v1), Some((41, Some("203.0.113.9:4711".parse().expect("an address")))));
        for cut in 0..41 {
            assert_eq!(source(&v1[..cut]), None, "{cut}");
        }
        let v2 = v2::Builder::with_addresses(
            v2::Version::Two | v2::Command::Proxy,
            v2::Protocol::Stream,
            ("[2001:db8::1]:9".parse::<SocketAddr>().expect("one"), "[::1]:80".parse::<SocketAddr>().expect("one")),
        )
        .build()
        .expect("a header");
        assert_eq!(source(&v2), Some((v2.len(), Some("[2001:db8::1]:9".parse().expect("an address")))));
        for cut in 0..v2.len() {
            assert_eq!(source(&v2[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_health_check_names_no_client() {
        assert_eq!(source(b"PROXY UNKNOWN\r\n"), Some((15, None)));
    }

    #[test]
    fn a_version_1_header_ends_with_cr_and_lf() {
        let lines = [&b"PROXY UNKNOWN a\r;b\r\n"[..], b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r;\r\n"];
        for line in lines {
            for cut in 0..line.len() {
                assert_eq!(source(&line[..cut]), None, "{:?}", String::from_utf8_lossy(&line[..cut]));
            }
            assert!(parse(line).is_err(), "{:?}", String::from_utf8_lossy(line));
        }
        let longest = [V1_PREFIX, b"UNKNOWN ", &[b'f'; MAX_V1_BYTES - 16], b"\r\n"].concat();
        assert_eq!(source(&longest), Some((MAX_V1_BYTES, None)));
        assert!(parse(&[b"PROXY UNKNOWN ", &[b'f'; MAX_V1_BYTES][..], b"\r\n"].concat()).is_err());
    }

    #[test]
    fn other_bytes_are_malformed() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 a b c d\r\n", &[b'P'; MAX_HEADER_BYTES]] {
            assert!(parse(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
