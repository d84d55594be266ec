//! What the engine asks of the kernel for one viewer's socket: its options, one send, and reading what nobody wants.

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use socket2::{SockRef, Socket, TcpKeepalive};

/// So much later than a frame is due at the latest, the kernel asks by itself whether the peer is still there. No sooner: the
/// frame asks the same, its repeats are spread evenly, and where thousands of viewers have the same push behind them,
/// all their probes would go out in the same moment, more than a network's queue holds. Who loses his is taken for dead.
const PROBE_LATER: Duration = Duration::from_secs(5);
/// The kernel asks again so often; how long it goes on is for the user timeout to say.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Bytes asked for; the kernel doubles that for its own overhead. Holds the largest common frame (a badge at 3×,
/// 20 kB) in one write, and fixes the size: the kernel's own choice grows to 4 MB for a peer that once read fast.
const SEND_BUFFER_BYTES: usize = 16 << 10;
/// A send is taken only while fewer than this many bytes wait in the kernel for the peer's window. With 1, a viewer
/// that stops reading has one part at most waiting, not a send buffer full of old ones.
const UNSENT_BYTES: u32 = 1;
/// The plainest congestion control, which every kernel has. A frame is a segment or a few, ten times a second at most:
/// no window is ever full, and what BBR or CUBIC reckon for each acknowledgement is in vain (BBR took 5 % of two cores at
/// 100,000 frames a second).
const CONGESTION_CONTROL: &[u8] = b"reno";
/// Keeps the kernel from adding the next part to the last one's segment, which it would do without asking
/// [`UNSENT_BYTES`]. The other flag: no signal where the peer has gone.
const SEND_FLAGS: i32 = libc::MSG_EOR | libc::MSG_NOSIGNAL;

/// Sets a viewer's socket up. Something is sent every `keepalive`; `stall_limit` is how long it may stay unacknowledged.
pub(crate) fn prepare(socket: &TcpStream, keepalive: Duration, stall_limit: Duration) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(keepalive + PROBE_LATER).with_interval(PROBE_EVERY))?;
    socket.set_tcp_user_timeout(Some(stall_limit))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    // A container may be forbidden to choose: then it goes by the system's.
    let _ = socket.set_tcp_congestion(CONGESTION_CONTROL);
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

/// Writes what the kernel takes; 0 where it would block.
pub(crate) fn send(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    taken(|| socket.send_with_flags(bytes, SEND_FLAGS))
}

/// Writes what the kernel takes of one piece and the next, as one message; 0 where it would block.
pub(crate) fn send_both(socket: &Socket, first: &Bytes, second: &Bytes) -> io::Result<usize> {
    let pieces = [io::IoSlice::new(first), io::IoSlice::new(second)];
    taken(|| socket.send_vectored_with_flags(&pieces, SEND_FLAGS))
}

/// What reading from a viewer came to.
pub(crate) enum Read {
    /// So many bytes, and no more for now.
    Discarded(usize),
    /// The peer has said that it is done.
    Ended,
}

/// Reads and throws away what the viewer has sent, until there is no more or more than `allowance` has come.
pub(crate) fn discard_input(socket: &Socket, allowance: usize) -> io::Result<Read> {
    let mut scratch = [MaybeUninit::uninit(); 1024];
    let mut discarded = 0;
    while discarded <= allowance {
        match socket.recv(&mut scratch) {
            Ok(0) => return Ok(Read::Ended),
            Ok(bytes) => discarded += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Read::Discarded(discarded))
}

fn taken(mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent,
        }
    }
}
