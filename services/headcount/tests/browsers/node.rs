//! The node whose number the browsers show.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, NodeOptions, wait_until};

use crate::{BROWSER_START, STREAM};

/// Starts a node with embedded presence, which ends its streams at once when it stops.
pub(crate) fn start(arguments: &[&str]) -> Node {
    let options = NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::default() };
    Node::start(&options.with(["--drain", "0s"]).with(arguments.iter().copied())).unwrap()
}

/// Kills a node that has this viewer, and starts another at its address after a while. Returns when the one was killed.
pub(crate) fn start_again(mut node: Node, viewer: TcpStream, after: Duration, arguments: &[&str]) -> (Instant, Node) {
    let address = node.address().to_string();
    let killed = Instant::now();
    node.kill();
    drop(viewer);
    thread::sleep(after);
    (killed, start(&[&["--listen", &address], arguments].concat()))
}

/// Opens a viewer that sends its request and reads nothing.
pub(crate) fn join(node: &Node) -> TcpStream {
    let mut viewer = TcpStream::connect(node.address()).unwrap();
    write!(viewer, "GET /{STREAM} HTTP/1.1\r\nHost: {}\r\n\r\n", node.address()).unwrap();
    viewer
}

/// Waits until the node counts so many.
pub(crate) fn counts(node: &Node, count: u64) {
    wait_until(&format!("a count of {count}"), BROWSER_START, || match node.reading("online") {
        Ok(reading) if reading.count == count => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .unwrap();
}
