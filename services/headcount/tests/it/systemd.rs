//! What a node tells systemd, received as systemd does: datagrams at the socket that NOTIFY_SOCKET names.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    time::{Duration, Instant},
};

use headcount_testkit::{Node, NodeOptions};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{node::PATIENCE, stream::Stream};

/// A service manager's socket.
struct Manager {
    socket: UnixDatagram,
    _folder: TempDir,
}

impl Manager {
    /// Starts a node as a service with a watchdog, so that it reports often.
    fn start<const N: usize>(arguments: [&str; N]) -> (Manager, Node) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        // The watchdog is meant for the process that it names.
        let (program, watchdog) = (folder.path().join("start"), Duration::from_millis(400).as_micros());
        let headcount = env!("CARGO_BIN_EXE_headcount");
        fs::write(&program, format!("#!/bin/sh\nWATCHDOG_PID=$$ WATCHDOG_USEC={watchdog} exec {headcount} \"$@\"\n"))
            .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let options = NodeOptions {
            program: Some(program),
            environment: vec![("NOTIFY_SOCKET".into(), path.display().to_string())],
            ..NodeOptions::default()
        };
        let node = Node::start(&options.with(arguments)).unwrap();
        (Manager { socket, _folder: folder }, node)
    }

    /// Waits for a message with this line. Returns the whole message.
    fn wait_for(&self, line: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let (mut bytes, mut received) = ([0; 4096], Vec::new());
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).unwrap();
            let Ok(length) = self.socket.recv(&mut bytes) else { break };
            let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if message.lines().any(|found| found == line) {
                return message;
            }
            received.push(message);
        }
        panic!("no {line:?} among {received:#?}");
    }
}

#[test]
fn a_node_that_drains_says_how_many_viewers_are_left_and_asks_for_time() {
    let (manager, mut node) = Manager::start(["--drain-delay", "10m", "--drain", "0s"]);
    manager.wait_for("READY=1");
    let mut stream = Stream::open(&node, "/online.png");
    stream.wait_for(1);
    let message = manager.wait_for("STATUS=1 viewers");
    assert!(message.contains("WATCHDOG=1") && !message.contains("EXTEND_TIMEOUT_USEC"), "{message}");
    node.process().signal(Signal::SIGTERM).unwrap();
    manager.wait_for("STOPPING=1");
    let message = manager.wait_for("STATUS=draining, 1 viewers");
    assert!(message.contains("WATCHDOG=1"), "{message}");
    let asked = message.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="));
    let asked = Duration::from_micros(asked.expect("more time is asked for").parse().unwrap());
    assert!((Duration::from_secs(10)..Duration::from_secs(60)).contains(&asked), "{asked:?}");
    let other = Stream::open(&node, "/online.png");
    manager.wait_for("STATUS=draining, 2 viewers");
    drop(other);
    manager.wait_for("STATUS=draining, 1 viewers");
    // A second signal ends it, and its last words come while its streams end.
    assert!(node.stop(PATIENCE).unwrap().success());
}
