//! The handover as bytes in a memory file, MessagePack with names.
//!
//! The envelope never changes: any version of the program can go on at the same ports, and can end each stream properly. The
//! state inside it has a version; a program that does not know it ends the streams, as a restart would.

use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use bytes::Bytes;
use headcount_engine::{HeldViewer, StreamProgress};
use headcount_presence::PresenceState;
use serde::{Deserialize, Serialize};

use super::descriptors;
use super::handover::{DetachedViewer, EndingStream, Handover, Listener, LooksState, NodeState, Ports, Waiting};
use super::metrics::ReloadTotals;
use crate::options::OptionDigests;

/// The first bytes of the memory file.
const MAGIC: [u8; 8] = *b"hc-hand\n";
/// The version of [`State`]. Another number is another format: change it with every change of `State` that an older or a
/// newer program would not read right. What an older one does not know and may ignore is no such change: it ends the streams of
/// a feed whose format it does not know.
const FORMAT: u32 = 1;

/// What a former program has handed over.
pub(crate) enum Inherited {
    /// Everything, to go on with.
    State(Box<Handover>),
    /// Ports to go on at, and streams that this program can only end: it does not know the format of the state.
    Unknown {
        /// The version of the state.
        format: u32,
        /// The ports. `None` if they have been closed.
        ports: Option<Ports>,
        /// The viewers' streams.
        streams: Vec<EndingStream>,
    },
}

impl Inherited {
    /// The viewers' streams, for a program that cannot start.
    pub(super) fn into_ending_streams(self) -> Vec<EndingStream> {
        match self {
            Self::Unknown { streams, .. } => streams,
            Self::State(handover) => {
                let NodeState { viewers, looks, .. } = handover.node;
                viewers.into_iter().map(|viewer| looks.ending_stream(viewer)).collect()
            }
        }
    }
}

/// Why a memory file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    /// It cannot be read at all.
    #[error("the memory file of the former program cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is something else.
    #[error("the memory file of the former program has another form")]
    Envelope,
}

/// What every version reads.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    /// The end of each feed's streams.
    endings: Vec<Bytes>,
    streams: Vec<Stream>,
    public: ListenerState,
    admin: ListenerState,
    waiting: Vec<WaitingState>,
    /// A [`State`] of the format.
    state: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Stream {
    socket: RawFd,
    /// An index of `endings`.
    ending: u32,
    unsent: Bytes,
}

/// Format 1. The viewers are those of the envelope's streams, in the same order. The parameters are references when it is
/// written.
#[derive(Serialize, Deserialize)]
struct State<P = PresenceState, L = LooksState, V = DetachedViewer> {
    presence: P,
    looks: L,
    viewers: Vec<ViewerState<V>>,
    totals: ReloadTotals,
    #[serde(default)]
    options: OptionDigests,
    held_at: Duration,
}

#[derive(Serialize, Deserialize)]
struct ListenerState {
    configured: SocketAddr,
    socket: RawFd,
}

#[derive(Serialize, Deserialize)]
struct WaitingState {
    socket: RawFd,
    peer: SocketAddr,
    read: Bytes,
}

#[derive(Serialize, Deserialize)]
struct ViewerState<V> {
    viewer: V,
    first_frame: bool,
    stalled_for: Duration,
    input_bytes: u32,
    #[serde(default)]
    frames: u16,
}

/// Writes a handover into a memory file.
///
/// # Errors
/// Fails if the system has no memory or no descriptor for it.
pub(super) fn write(handover: &Handover) -> std::io::Result<OwnedFd> {
    let Handover { ports, node } = handover;
    let listener =
        |listener: &Listener| ListenerState { configured: listener.configured, socket: listener.socket.as_raw_fd() };
    let waiting = |waiting: &Waiting| WaitingState {
        socket: waiting.socket.as_raw_fd(),
        peer: waiting.peer,
        read: waiting.read.clone(),
    };
    let state = State {
        presence: &node.presence,
        looks: &node.looks,
        viewers: node.viewers.iter().map(viewer_state).collect(),
        totals: node.totals,
        options: node.options.clone(),
        held_at: node.held_at,
    };
    let stream = |viewer: &HeldViewer<DetachedViewer>| Stream {
        socket: viewer.socket.as_raw_fd(),
        ending: viewer.attachment.feed,
        unsent: viewer.progress.unsent.clone(),
    };
    let envelope = Envelope {
        format: FORMAT,
        endings: node.looks.feeds.iter().map(|feed| feed.ending.clone()).collect(),
        streams: node.viewers.iter().map(stream).collect(),
        public: listener(&ports.public),
        admin: listener(&ports.admin),
        waiting: ports.waiting.iter().map(waiting).collect(),
        state: encode(&state)?.into(),
    };
    let mut file = descriptors::memory_file()?;
    file.write_all(&MAGIC)?;
    file.write_all(&encode(&envelope)?)?;
    file.rewind()?;
    Ok(file.into())
}

/// Every descriptor of a handover.
pub(super) fn descriptors_of(handover: &Handover) -> impl Iterator<Item = BorrowedFd<'_>> {
    let Handover { ports: Ports { public, admin, waiting }, node } = handover;
    let viewers = node.viewers.iter().map(|viewer| viewer.socket.as_fd());
    viewers
        .chain([public.socket.as_fd(), admin.socket.as_fd()])
        .chain(waiting.iter().map(|waiting| waiting.socket.as_fd()))
}

fn viewer_state(viewer: &HeldViewer<DetachedViewer>) -> ViewerState<&DetachedViewer> {
    let StreamProgress { first_frame, stalled_for, input_bytes, frames, .. } = viewer.progress;
    ViewerState { viewer: &viewer.attachment, first_frame, stalled_for, input_bytes, frames }
}

fn encode(value: &impl Serialize) -> std::io::Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(std::io::Error::other)
}

/// Reads a memory file, and takes its descriptors over. One that is not open, or that is there twice, is left out.
///
/// # Errors
/// Fails if it is not one that this program or another version of it has written.
pub(super) fn read(file: OwnedFd) -> Result<Inherited, FormatError> {
    let mut bytes = Vec::new();
    std::fs::File::from(file).read_to_end(&mut bytes)?;
    let (envelope, state) = decode(&bytes)?;
    let Envelope { format, endings, streams, public, admin, waiting, .. } = envelope;

    let listener = |state: ListenerState| {
        Some(Listener { configured: state.configured, socket: descriptors::take(state.socket)? })
    };
    let waiting = waiting.into_iter().filter_map(|WaitingState { socket, peer, read }| {
        Some(Waiting { socket: descriptors::take(socket)?, peer, read })
    });
    let (public, admin, waiting) = (listener(public), listener(admin), waiting.collect());
    let ports = public.zip(admin).map(|(public, admin)| Ports { public, admin, waiting });
    let sockets: Vec<_> = streams.iter().map(|stream| descriptors::take(stream.socket)).collect();

    Ok(match (state, ports) {
        (Some(state), Some(ports)) => {
            Inherited::State(Box::new(Handover { ports, node: node_state(state, streams, sockets, endings) }))
        }
        (_, ports) => {
            let streams = streams.into_iter().zip(sockets).filter_map(|(Stream { ending, unsent, .. }, socket)| {
                let ending = endings.get(ending as usize).cloned().unwrap_or_default();
                Some(EndingStream { socket: socket?, unsent, ending })
            });
            Inherited::Unknown { format, streams: streams.collect(), ports }
        }
    })
}

/// The envelope, and its state if this program knows the format and the state is whole.
fn decode(bytes: &[u8]) -> Result<(Envelope, Option<State>), FormatError> {
    let envelope = bytes.strip_prefix(&MAGIC).ok_or(FormatError::Envelope)?;
    let envelope: Envelope = rmp_serde::from_slice(envelope).map_err(|_| FormatError::Envelope)?;
    let known = envelope.format == FORMAT;
    let state: Option<State> = known.then(|| rmp_serde::from_slice(&envelope.state).ok()).flatten();
    let state = state.filter(|state| fits(state, &envelope));
    Ok((envelope, state))
}

/// Whether a state belongs to the streams and endings of an envelope.
fn fits(state: &State, envelope: &Envelope) -> bool {
    state.viewers.len() == envelope.streams.len()
        && state.looks.feeds.len() == envelope.endings.len()
        && state.viewers.iter().all(|viewer| (viewer.viewer.feed as usize) < state.looks.feeds.len())
}

fn node_state(state: State, streams: Vec<Stream>, sockets: Vec<Option<OwnedFd>>, endings: Vec<Bytes>) -> NodeState {
    let State { presence, mut looks, viewers, totals, options, held_at } = state;
    for (feed, ending) in looks.feeds.iter_mut().zip(endings) {
        feed.ending = ending;
    }
    let viewers = sockets.into_iter().zip(streams).zip(viewers).filter_map(|((socket, stream), state)| {
        let ViewerState { viewer, first_frame, stalled_for, input_bytes, frames } = state;
        let progress = StreamProgress { unsent: stream.unsent, first_frame, stalled_for, input_bytes, frames };
        Some(HeldViewer { socket: socket?, attachment: viewer, progress })
    });
    NodeState { viewers: viewers.collect(), presence, looks, totals, options, held_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Counting;

    /// What a node wrote at SIGHUP, with these viewers: `online.png`, the same as JPEG with the odometer, `blog.png` that
    /// shows visitors, `online/live.html`, `online/events` without counting; and a connection with half a request. The
    /// first had no Redis. If a test fails that reads them, a program of this format cannot be reloaded by this one: read
    /// what they have, or raise [`FORMAT`] and record new ones beside them.
    const RECORDED: [&[u8]; 2] = [include_bytes!("format_1/alone.bin"), include_bytes!("format_1/redis.bin")];

    #[test]
    fn what_an_earlier_program_of_this_format_wrote_is_taken_over() {
        for bytes in RECORDED {
            let (envelope, state) = decode(bytes).expect("an envelope");
            let state = state.expect("a state of this format");
            let mut feeds: Vec<_> = state.looks.feeds.iter().map(|feed| (&*feed.counter, &*feed.format)).collect();
            feeds.sort_unstable();
            let formats =
                [("blog", "png"), ("online", "events"), ("online", "html"), ("online", "jpg"), ("online", "png")];
            assert_eq!(feeds, formats);
            assert!(state.looks.feeds.iter().all(|feed| feed.format().is_some()), "this program knows them");
            let watching = state.viewers.iter().filter(|it| it.viewer.counting() == Counting::Watching);
            let watched: Vec<_> = watching.map(|it| &*state.looks.feeds[it.viewer.feed as usize].format).collect();
            assert_eq!((state.viewers.len(), watched), (5, vec!["events"]));
            assert_eq!(
                envelope.waiting.iter().map(|it| &*it.read).collect::<Vec<_>>(),
                [b"GET /online.png HTTP/1.1\r\n"]
            );
            assert!(envelope.endings.iter().all(|ending| !ending.is_empty()), "each stream can be ended");
        }
    }

    #[test]
    fn of_another_format_only_the_envelope_is_read() {
        for bytes in RECORDED {
            let mut bytes = bytes.to_vec();
            // The value of the first field, after its name.
            bytes[MAGIC.len() + 8] = 99;
            let (envelope, state) = decode(&bytes).expect("an envelope");
            assert_eq!((envelope.format, envelope.streams.len(), state.is_none()), (99, 5, true));
        }
    }
}
