//! The servers that the engine is compared with. Each is a process that pushes the frame last posted to it to all viewers.

mod body_stream;
mod floor;
mod nchan;
mod request;

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Subcommand;
use headcount_drawing::{Artist, Figure, Format, Look};
use headcount_testkit::{Behaviour, Process, Usage, client::PictureCheck, clock::now_ns, http, ports, wait_until};
use headcount_wire::Part;
use tempfile::TempDir;

/// The design of 2012, for Node.
const COUNT_JS: &str = include_str!("../../peers/count.js");

/// How long a peer may take until it listens.
const STARTUP: Duration = Duration::from_secs(15);

/// The peers that are part of this program.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum BuiltIn {
    /// A bare send loop
    Floor {
        /// Where to listen
        port: u16,
    },
    /// A plain axum body stream
    BodyStream {
        /// Where to listen
        port: u16,
    },
}

impl BuiltIn {
    /// Serves until the process is killed.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Floor { port } => floor::serve(port),
            Self::BodyStream { port } => body_stream::serve(port),
        }
    }
}

/// Which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PeerKind {
    /// A bare send loop: what the kernel allows.
    Floor,
    /// nchan on nginx.
    Nchan,
    /// nchan on nginx, with server-sent events.
    NchanEvents,
    /// The design of 2012 on Node.
    Node,
    /// A plain axum body stream.
    BodyStream,
}

impl PeerKind {
    pub(crate) const ALL: [Self; 5] = [Self::Floor, Self::Nchan, Self::NchanEvents, Self::Node, Self::BodyStream];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "bare send loop",
            Self::Nchan => "nchan on nginx",
            Self::NchanEvents => "nchan on nginx, events",
            Self::Node => "Node, 2012 design",
            Self::BodyStream => "axum body stream",
        }
    }
}

/// A running peer.
pub(crate) struct Peer {
    process: Process,
    address: SocketAddr,
    kind: PeerKind,
    frames: Frames,
    _directory: TempDir,
}

impl Peer {
    /// Starts one that shows 0.
    pub(crate) fn start(kind: PeerKind) -> anyhow::Result<Self> {
        let port = ports::free().context("a port for a peer")?;
        let directory = tempfile::tempdir().context("a directory for a peer")?;
        let here = std::env::current_exe().context("the path of this program")?;
        let mut command = match kind {
            PeerKind::Floor => built_in(here, "floor", port),
            PeerKind::BodyStream => built_in(here, "body-stream", port),
            PeerKind::Node => {
                let script = directory.path().join("count.js");
                std::fs::write(&script, COUNT_JS).context("writing the Node server")?;
                let mut command = Command::new("node");
                command.arg(script).arg(port.to_string());
                command
            }
            PeerKind::Nchan | PeerKind::NchanEvents => nchan::command(directory.path(), port)?,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = Process::start(command)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut peer = Self { process, address, kind, frames: Frames::new(), _directory: directory };
        let first = peer.frames.next(0, kind);
        wait_until(kind.name(), STARTUP, || peer.post(&first).map_err(|error| format!("{error:#}")))?;
        Ok(peer)
    }

    pub(crate) fn url(&self) -> String {
        let path = if self.kind == PeerKind::NchanEvents { "online/events" } else { "online.png" };
        format!("http://{}/{path}", self.address)
    }

    /// The behaviour of viewers of this server.
    pub(crate) fn behaviour(&self) -> Behaviour {
        let bare_boundary = (self.kind == PeerKind::Nchan).then(|| headcount_wire::BOUNDARY.to_owned());
        // nchan tells its subscribers apart by what they accept, and refuses others.
        let accept =
            (self.kind == PeerKind::NchanEvents).then(|| ("Accept".to_owned(), "text/event-stream".to_owned()));
        let headers = accept.into_iter().collect();
        Behaviour { headers, check: PictureCheck::Stamp, bare_boundary, ..Behaviour::default() }
    }

    /// Pushes `number` to all viewers, and returns the time just before.
    pub(crate) fn publish(&mut self, number: u64) -> anyhow::Result<u64> {
        let frame = self.frames.next(number, self.kind);
        let since = now_ns();
        self.post(&frame)?;
        Ok(since)
    }

    fn post(&self, frame: &Bytes) -> anyhow::Result<()> {
        let answer = http::post(self.address, "/publish", frame)?;
        ensure!((200..300).contains(&answer.status), "{} answered {}", self.kind.name(), answer.status);
        Ok(())
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Ok(self.process.usage()?)
    }
}

fn built_in(here: std::path::PathBuf, name: &str, port: u16) -> Command {
    let mut command = Command::new(here);
    command.args(["peer", name, &port.to_string()]);
    command
}

/// Makes what the service would send: the same badge, with its stamp, or the same data.
struct Frames {
    artist: Artist,
    look: Look,
    version: u64,
}

impl Frames {
    fn new() -> Self {
        Self { artist: Artist::new(), look: Look::default(), version: 0 }
    }

    fn next(&mut self, number: u64, kind: PeerKind) -> Bytes {
        self.version += 1;
        if kind == PeerKind::NchanEvents {
            let data = serde_json::json!({
                "counter": "online", "count": number, "visitors": 1, "stale": false, "as_of": "2026-01-01T00:00:00.000Z",
                "epoch": 1_795_365_000_000_000_u64, "version": self.version,
            });
            return data.to_string().into();
        }
        let figure = Figure { number, epoch: 1, version: self.version, stale: false, fewer_than: None };
        let image = self.artist.draw(&self.look, &figure, Format::Png);
        Part::new(&image, Format::Png.content_type()).bytes().clone()
    }
}
