//! [`ReloadStatus`]: what has become of a node's reloads, for `headcount reload`. The node sends it to whoever connects to a
//! socket in Linux's abstract namespace, which needs no folder that the node may write to and no option: its name follows from
//! the process's number, and a reload keeps that.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// Most bytes of a status: what a check says on its two outputs, as JSON.
const MAX_BYTES: u64 = 64 << 10;
/// Pause after an error of the socket, so that one that stays does not keep a processor busy.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// What has become of a node's reloads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReloadStatus {
    /// Another number in each run of the program.
    pub(crate) run: u64,
    /// Reloads that have ended, in all runs that took one another's viewers over.
    pub(crate) ended: u64,
    /// What the node does now.
    pub(crate) activity: Activity,
    /// How the newest reload ended, in a sentence: `Err` if nothing has changed or streams had to end.
    pub(crate) newest: Option<Result<String, String>>,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Activity {
    /// It serves.
    Serving,
    /// It serves, and checks the program that is to replace it.
    Reloading,
    /// It has been told to stop: no signal reloads it.
    Stopping,
}

impl ReloadStatus {
    /// The status of a program's run that begins after `ended` reloads.
    pub(crate) fn new(ended: u64, newest: Option<Result<String, String>>) -> Self {
        Self { run: rand::random(), ended, activity: Activity::Serving, newest }
    }

    /// Asks the node that is process `pid`.
    ///
    /// # Errors
    /// Fails if the process does not answer as a node, or if another process answers in its place.
    pub(crate) async fn of(pid: i32) -> std::io::Result<Self> {
        let stream = UnixStream::connect(address(pid)).await?;
        if stream.peer_cred()?.pid() != Some(pid) {
            return Err(std::io::Error::other("another process answers in its place"));
        }
        let mut bytes = Vec::new();
        stream.take(MAX_BYTES).read_to_end(&mut bytes).await?;
        if bytes.is_empty() {
            return Err(std::io::Error::other("it answers only its own user, or root of its user namespace"));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// This node's status, where others can ask for it until the process ends or runs another program.
pub(crate) struct StatusSocket {
    status: watch::Sender<ReloadStatus>,
}

impl StatusSocket {
    /// Opens the socket. If that fails, the node serves without it, and this is logged.
    pub(crate) fn open(status: ReloadStatus) -> Self {
        let (status, answers) = watch::channel(status);
        match UnixListener::bind(address(std::process::id().cast_signed())) {
            Ok(listener) => drop(tokio::spawn(answer(listener, answers))),
            Err(error) => tracing::warn!("`headcount reload` cannot ask this node: {error}"),
        }
        Self { status }
    }

    /// The node begins something else.
    pub(crate) fn set(&self, activity: Activity) {
        self.status.send_modify(|status| status.activity = activity);
    }

    /// A reload has changed nothing, because of `error`.
    pub(crate) fn not_reloaded(&self, error: &impl ToString) {
        self.status.send_modify(|status| {
            status.activity = Activity::Serving;
            status.ended += 1;
            status.newest = Some(Err(error.to_string()));
        });
    }
}

/// Sends the status to whoever connects.
async fn answer(listener: UnixListener, status: watch::Receiver<ReloadStatus>) {
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                // Errors of a configuration concern nobody else, and only these two may signal the node.
                let user = rustix::process::geteuid().as_raw();
                let may_ask = stream.peer_cred().is_ok_and(|peer| [0, user].contains(&peer.uid()));
                let answer = serde_json::to_vec(&*status.borrow());
                if let (true, Ok(answer)) = (may_ask, answer) {
                    // Does not wait: a new socket has room for a status. Whoever has gone does not need it.
                    let _ = stream.write_all(&answer).await;
                }
            }
            Err(error) => {
                tracing::debug!("the socket of the status fails: {error}");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// The socket's name. Containers may share a network, and with it the names, and then have processes of the same number:
/// so it names the process's PID namespace too.
fn address(pid: i32) -> String {
    let namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino());
    format!("\0headcount-{namespace}-{pid}")
}
