//! A viewer's machine vanishes: no packet of it says goodbye, and none is acknowledged any more.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use headcount_testkit::{Node, RedisServer};
use socket2::{SockFilter, SockRef};

use crate::{
    fleet::{COUNTER, Fleet},
    promise::{Promise, SOON, VANISHED},
    store,
};

/// The kernel's packet filter in its shortest form: return 0, take nothing (`BPF_RET | BPF_K`).
const TAKE_NOTHING: u16 = 0x06;

/// A viewer whose connection can go silent.
struct Viewer(TcpStream);

impl Viewer {
    /// Opens a stream, and has seen some of its first picture.
    fn open(node: &Node) -> Self {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        write!(stream, "GET /{COUNTER}.png HTTP/1.1\r\nHost: {}\r\n\r\n", node.address()).unwrap();
        let mut begun = [0; 512];
        stream.read_exact(&mut begun).unwrap();
        assert!(begun.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begun));
        Self(stream)
    }

    /// From now on nothing that is sent to it arrives, so nothing is answered either: not even by a reset.
    fn vanish(&self) {
        SockRef::from(&self.0).attach_filter(&[SockFilter::new(TAKE_NOTHING, 0, 0, 0)]).unwrap();
    }
}

pub(crate) fn a_viewers_machine_vanishes() {
    let redis = RedisServer::start().unwrap();
    let mut fleet = Fleet::open(&redis.url(), &[3, 4]);
    let viewers: Vec<_> = (0..10).map(|index| Viewer::open(&fleet.posts[index % 2].node)).collect();
    for post in &fleet.posts {
        post.viewers.all_see(17, SOON).unwrap();
    }
    let gone = Promise::begin("the machines of 10 viewers vanish: they leave the count", VANISHED);
    for viewer in &viewers {
        viewer.vanish();
    }
    fleet.exact(&gone);
    fleet.posts[0].join(1);
    fleet.exact(&Promise::begin("a viewer comes after that: exact", SOON));
    store::holds_only(&redis, &fleet);
    drop(viewers);
    fleet.leave_nothing(&[&redis]);
}
