//! Free ports.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
};

use socket2::{Domain, Socket, Type};

/// A port of 127.0.0.1 that is reserved for a server and its restarts. While it is reserved, the system assigns it to no
/// other socket, and connections to it are refused unless the server listens.
#[derive(Debug)]
pub struct Reserved {
    number: u16,
    /// Bound, but not listening. Both it and the server allow reuse of the address, so that the server may bind too.
    _socket: Socket,
}

impl Reserved {
    /// The port.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Reserves a port for a server that sets `SO_REUSEADDR`, as nearly all do.
///
/// # Errors
/// If there is none.
pub fn reserve() -> io::Result<Reserved> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    let bound = socket.local_addr()?.as_socket_ipv4().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(Reserved { number: bound.port(), _socket: socket })
}

/// A port of 127.0.0.1 on which no socket listens now. Another process may take it at any time.
///
/// # Errors
/// If there is none.
pub fn free() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The range from which the system takes the ports of outgoing connections.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn outgoing() -> io::Result<std::ops::RangeInclusive<u16>> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut ends = text.split_whitespace().map_while(|end| end.parse().ok());
    match (ends.next(), ends.next()) {
        (Some(first), Some(last)) => Ok(first..=last),
        _ => Err(io::Error::other(format!("ip_local_port_range is {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_reserved_port_can_be_bound_again_and_again() {
        let port = reserve().unwrap();
        let address = (Ipv4Addr::LOCALHOST, port.number());
        for _ in 0..2 {
            assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            // The standard library's listeners allow reuse.
            let listener = TcpListener::bind(address).unwrap();
            TcpStream::connect(address).unwrap();
            drop(listener);
        }
    }
}
