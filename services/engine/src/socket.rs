//! System calls on one viewer's socket: its options, one send, and discarding its input.

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use socket2::{SockRef, Socket, TcpKeepalive};

/// How long after the latest time of the next frame the kernel sends its first TCP keep-alive probe.
///
/// Not earlier, because a frame probes the peer as well, and frames are spread evenly. Thousands of viewers received the
/// same push, so their probes would all leave at the same moment, more than a network's queue holds. A viewer whose probes
/// are lost looks dead.
const KEEPALIVE_PROBE_DELAY: Duration = Duration::from_secs(5);
/// The interval of further probes. `TCP_USER_TIMEOUT` decides when they stop.
const KEEPALIVE_PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// The requested send buffer; the kernel doubles it for its own overhead. It takes the largest common frame (a badge at 3×,
/// 20 kB) in one write. A fixed size also turns off the kernel's auto-tuning, which grows to 4 MB for a fast reader.
const SEND_BUFFER_BYTES: usize = 16 << 10;
/// `TCP_NOTSENT_LOWAT`: a send is accepted only while fewer unsent bytes than this wait in the kernel. With 1, a viewer that
/// stops reading has at most one part waiting, not a send buffer full of old ones.
const NOTSENT_LOWAT_BYTES: u32 = 1;
/// The simplest congestion control, available in every kernel. A frame is a few segments at most ten times a second, so the
/// window never fills, and what BBR or CUBIC compute for each acknowledgement is wasted (BBR used 5 % of two cores at
/// 100,000 frames a second).
const CONGESTION_CONTROL: &[u8] = b"reno";
/// `MSG_EOR` keeps the kernel from appending the next part to the last segment, which it does without checking
/// [`NOTSENT_LOWAT_BYTES`]. `MSG_NOSIGNAL` prevents SIGPIPE if the peer has left.
const SEND_FLAGS: i32 = libc::MSG_EOR | libc::MSG_NOSIGNAL;
/// What a viewer may send after its request, in total. A browser sends nothing. With the last read it fits 16 bits, because
/// every viewer has a counter of it.
const MAX_INPUT_BYTES: u16 = 60 << 10;
/// Bytes read at a time.
const INPUT_BUFFER_BYTES: usize = 1 << 10;
const _: () = assert!(MAX_INPUT_BYTES as usize + INPUT_BUFFER_BYTES <= u16::MAX as usize);

/// Sets a viewer's socket options. A frame is sent at least every `keepalive` and may stay unacknowledged for `stall_limit`.
pub(crate) fn configure(socket: &TcpStream, keepalive: Duration, stall_limit: Duration) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(keepalive + KEEPALIVE_PROBE_DELAY);
    socket.set_tcp_keepalive(&probes.with_interval(KEEPALIVE_PROBE_INTERVAL))?;
    socket.set_tcp_user_timeout(Some(stall_limit))?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)?;
    // A container may forbid the choice; then the system's default applies.
    let _ = socket.set_tcp_congestion(CONGESTION_CONTROL);
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

/// Writes as much as the kernel accepts. Returns the number of bytes, 0 if the call would block.
pub(crate) fn send(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    send_with(|| socket.send_with_flags(bytes, SEND_FLAGS))
}

/// Writes as much as the kernel accepts of two pieces, as one message. Returns the number of bytes, 0 if the call would
/// block.
pub(crate) fn send_both(socket: &Socket, first: &Bytes, second: &Bytes) -> io::Result<usize> {
    let pieces = [io::IoSlice::new(first), io::IoSlice::new(second)];
    send_with(|| socket.send_vectored_with_flags(&pieces, SEND_FLAGS))
}

/// The state of a viewer's input after a read.
pub(crate) enum Input {
    /// More may follow.
    Open,
    /// The peer has sent more than [`MAX_INPUT_BYTES`].
    TooMuch,
    /// The peer has sent a FIN.
    Ended,
}

/// Reads and discards all available input, and adds its length to `input_bytes`, the total of this socket.
pub(crate) fn discard_input(socket: &Socket, input_bytes: &mut u16) -> io::Result<Input> {
    let mut buffer = [MaybeUninit::uninit(); INPUT_BUFFER_BYTES];
    while *input_bytes <= MAX_INPUT_BYTES {
        match socket.recv(&mut buffer) {
            Ok(0) => return Ok(Input::Ended),
            Ok(bytes) => *input_bytes += bytes as u16,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Input::Open),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Input::TooMuch)
}

fn send_with(mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent,
        }
    }
}
