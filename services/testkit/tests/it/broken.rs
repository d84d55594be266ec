//! Broken streams, each in another way: the client reports what is wrong.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use headcount_testkit::{Batch, Goal, Snapshot, Viewers};
use headcount_wire::opening;

use crate::server::{badge, head};

/// What one viewer makes of an answer, and of the end of the stream behind it.
fn verdict(answer: Vec<u8>) -> Snapshot {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/online.png", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        assert!(socket.read(&mut [0; 4096]).unwrap() > 0);
        // In pieces, so that nothing depends on how the bytes come together.
        for piece in answer.chunks(97) {
            if socket.write_all(piece).is_err() {
                return;
            }
        }
    });
    let viewers = Viewers::start(Batch { count: 1, urls: vec![url], ..Batch::default() }).unwrap();
    let (_, snapshot) = viewers.reach(Goal::AtMostLive(0), Duration::from_secs(10)).unwrap();
    server.join().unwrap();
    snapshot
}

fn stream(parts: &[&[u8]]) -> Vec<u8> {
    [&head()[..], &opening("image/png"), &parts.concat()].concat()
}

#[test]
fn a_whole_stream_is_accepted() {
    let (one, two) = (badge(1, 1), badge(2, 2));
    let snapshot = verdict(stream(&[one.bytes(), two.bytes(), &two.ending()]));
    assert_eq!((snapshot.parts, snapshot.ended, snapshot.lost()), (3, 1, 1), "{snapshot}");
    let snapshot = verdict(stream(&[one.bytes(), two.bytes()]));
    assert_eq!((snapshot.parts, snapshot.closed, snapshot.lost()), (2, 1, 1), "{snapshot}");
}

#[test]
fn broken_streams_are_rejected() {
    let (one, two) = (badge(1, 1), badge(2, 2));
    let image = one.image();
    // One byte of the pixels is turned over: the checksum of the PNG's chunk no longer fits.
    let mut spoilt = one.bytes().to_vec();
    let pixels = spoilt.windows(4).position(|name| name == b"IDAT").unwrap() + 6;
    spoilt[pixels] ^= 0x40;
    let unmarked = b"\x89PNG\r\n\x1a\n and no more\r\n--headcount\r\nContent-Type: image/png\r\n\r\n";
    let half = &one.bytes()[..image.len() / 2];
    for (answer, complaint) in [
        (stream(&[two.bytes(), one.bytes()]), "version 1 came after 2"),
        (stream(&[&spoilt]), "does not decode"),
        (stream(&[unmarked]), "carries no stamp"),
        // An incomplete write: the next part begins within the image.
        (stream(&[half, b"\r\n--headcount\r\nContent-Type: image/png\r\n\r\n"]), "does not decode"),
        (stream(&[b"\r\n--headcount\r\n\r\n"]), "a part is empty"),
        (stream(&[&image, b"\r\n--headcountess\r\n\r\n"]), "followed by"),
        (stream(&[one.bytes(), &two.ending(), b"more"]), "follow the closing boundary"),
        ([&head()[..], b"GIF89a"].concat(), "instead of the boundary"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n".to_vec(), "not multipart/x-mixed-replace"),
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), "not HTTP/1"),
    ] {
        let snapshot = verdict(answer);
        assert_eq!(snapshot.broken, 1, "{complaint}: {snapshot}");
        assert!(snapshot.complaints[0].contains(complaint), "{complaint}: {snapshot}");
    }
}

#[test]
fn refusals_and_cuts_are_counted_separately() {
    let one = badge(1, 1);
    let busy = verdict(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\n".to_vec());
    assert_eq!(busy.refused.into_iter().collect::<Vec<_>>(), [(503, 1)]);
    let cut = verdict(stream(&[one.bytes(), &one.image()[..20]]));
    assert_eq!((cut.cut, cut.broken, cut.parts), (1, 0, 1));
}
