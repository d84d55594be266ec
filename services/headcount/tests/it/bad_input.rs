//! Malformed and abusive clients. Whatever they send, the node keeps running, counts no viewer in the end, and frees every
//! descriptor and thread.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, wait_until};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::{
    exchange::{Answer, connect, get, request, send},
    node::{Holdings, PATIENCE, start, wait_for_count},
    stream::{Stream, restless},
};

/// The largest head that the node accepts.
const LARGEST_HEAD: usize = 8 << 10;

/// Headers of every response that a page of another site may see, a refusal included.
pub(crate) const FOR_ALL_ORIGINS: [(&str, &str); 3] = [
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("X-Content-Type-Options", "nosniff"),
];

fn oversized(begin: &str) -> Vec<u8> {
    format!("{begin}{}\r\n\r\n", "a".repeat(LARGEST_HEAD)).into_bytes()
}

#[test]
fn malformed_heads_are_refused() {
    let node = start([]);
    let before = Holdings::of(&node);
    for head in [
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /online.png\r\n\r\n",
        "GET /online.png HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET /online.png HTTP/1.1 more\r\nHost: a\r\n\r\n",
        "GET /on line.png HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /online.png HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /online.png HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /online.png HTTP/1.1\r\n: no name\r\n\r\n",
        "GET /online.png HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET /online.png HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n",
        "GET /\u{0}.png HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /online.png HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /online.png HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}: as TLS begins\r\n\r\n",
        "PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\nGET /online.png HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /online.png HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /online.json HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET /online.json HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n",
    ] {
        let answer = send(&node, head.as_bytes());
        assert!(!answer.is_empty(), "no answer to {head:?}");
        let answer = Answer::read(&answer);
        assert_eq!(answer.status(), 400, "{head:?}");
        answer.sentence();
        for (name, value) in FOR_ALL_ORIGINS {
            assert_eq!(answer.header(name), Some(value), "{name} of the answer to {head:?}");
        }
    }
    before.come_back(&node);
}

#[test]
fn a_broken_http2_connection_is_closed() {
    let node = start([]);
    let before = Holdings::of(&node);
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for behind in ["", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\u{0}\u{0}\u{7f}\u{1}\u{5}\u{0}\u{0}\u{0}\u{0}nonsense"] {
        let mut socket = connect(&node);
        write!(socket, "{preface}{behind}").unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        // A reset counts as an end too.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    before.come_back(&node);
}

#[test]
fn oversized_heads_are_refused() {
    let node = start([]);
    let before = Holdings::of(&node);
    let many = format!("GET /online.png HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(100));
    for head in [
        oversized("GET /online.png HTTP/1.1\r\nHost: a\r\nX: "),
        oversized("GET /"),
        oversized("GET /online.png?label="),
        oversized("G"),
        many.into_bytes(),
    ] {
        let answer = Answer::read(&send(&node, &head));
        assert!(matches!(answer.status(), 400 | 414 | 431), "{answer:?}");
        answer.sentence();
    }
    before.come_back(&node);
}

#[test]
fn unknown_methods_and_bodies_are_refused() {
    let node = start([]);
    let before = Holdings::of(&node);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get"] {
        for path in ["/", "/online.png", "/online.json", "/online/snapshot.png", "/robots.txt"] {
            let answer = request(&node, method, path, &[]);
            assert_eq!((answer.status(), answer.header("Allow")), (405, Some("GET, HEAD")), "{method} {path}");
            answer.sentence();
        }
    }
    let body = b"GET /online.png HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = b"GET /online.png HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for with_body in [&body[..], chunked] {
        assert_eq!(Answer::read(&send(&node, with_body)).status(), 413);
    }
    before.come_back(&node);
}

#[test]
fn a_head_that_drips_in_is_dropped_at_the_deadline() {
    let deadline = Duration::from_secs(3);
    let node = start(["--head-timeout", "3s"]);
    let before = Holdings::of(&node);
    let request: &[u8] = b"GET /online.png HTTP/1.1\r\nHost: a\r\nUser-Agent: patient\r\n\r\n";
    // The client stops in the request line, in the headers, in HTTP/2's preface, before the first byte, and after a response.
    let answered = b"GET /online.json HTTP/1.1\r\nHost: a\r\n\r\n";
    for (begin, drops) in
        [(1, request), (30, request), (1, b"PRI * HTTP/2.0\r\n\r\nSM"), (0, b""), (answered.len(), &answered[..])]
    {
        let mut socket = connect(&node);
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let begun = Instant::now();
        socket.write_all(&drops[..begin]).unwrap();
        let mut drops = drops[begin..].iter().cycle();
        loop {
            match socket.read(&mut [0; 4096]) {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(begun.elapsed() < deadline + PATIENCE, "the node does not close");
                    if let Some(drop) = drops.next().filter(|_| begin != 0) {
                        // The node may have closed in the meantime; the next read shows it.
                        let _ = socket.write_all(&[*drop]);
                    }
                }
                // The response to the complete request.
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let lasted = begun.elapsed();
        assert!(lasted >= deadline - Duration::from_millis(100), "closed after only {lasted:?}");
    }
    let causes = node.metrics().unwrap();
    assert!(causes.contains("connections_closed_early_total{cause=\"head_timeout\"}"), "{causes}");
    before.come_back(&node);
}

#[test]
fn the_first_head_has_one_deadline_in_all() {
    let node = start(["--head-timeout", "2s", "--proxy-protocol-from", "127.0.0.0/8"]);
    let mut socket = connect(&node);
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begun = Instant::now();
    // The PROXY header is complete after 1.5 s, then the head drips in.
    let mut parts = [&b"PROXY TCP4 203.0.113.9 127.0.0.1"[..], b" 4711 80\r\n", b"G", b"E", b"T"].into_iter();
    let mut next = Duration::ZERO;
    loop {
        if begun.elapsed() >= next
            && let Some(part) = parts.next()
        {
            let _ = socket.write_all(part);
            next = begun.elapsed().max(Duration::from_millis(1500));
        }
        match socket.read(&mut [0; 16]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => break,
        }
        assert!(begun.elapsed() < PATIENCE, "the node does not close");
    }
    let lasted = begun.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_millis(3000)).contains(&lasted), "closed after {lasted:?}");
}

#[test]
fn bytes_behind_the_request_do_not_matter() {
    let node = start([]);
    let before = Holdings::of(&node);
    // Another request with the first one, then more requests and nonsense after it.
    let mut stream =
        Stream::open_by(&node, b"GET /online.png HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.wait_for(1);
    for _ in 0..10 {
        stream.socket().write_all(b"GET /online.png HTTP/1.1\r\nHost: a\r\n\r\n\x00\xff nonsense").unwrap();
    }
    let other = Stream::open(&node, "/online.png");
    stream.wait_for(2);
    drop(other);
    stream.wait_for(1);

    // A viewer that never stops sending is dropped, and no other.
    let mut talker = Stream::open(&node, "/online.png");
    stream.wait_for(2);
    let begun = Instant::now();
    while talker.socket().write_all(&[b'x'; 64 << 10]).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "a viewer may send without end");
    }
    stream.wait_for(1);
    drop((stream, talker));
    before.come_back(&node);
}

/// Opens a viewer with the smallest possible receive buffer, which never reads.
pub(crate) fn never_reads(node: &Node, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&node.address().into()).unwrap();
    let mut socket = TcpStream::from(socket);
    write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    socket
}

#[test]
fn a_viewer_that_never_reads_is_dropped() {
    let node = start(["--stall-limit", "3s", "--keepalive", "1s", "--frame-rate", "60"]);
    let before = Holdings::of(&node);
    let mut reader = Stream::open(&node, "/online.png");
    reader.wait_for(1);
    let stalled: Vec<TcpStream> = (0..5).map(|_| never_reads(&node, "/online.png")).collect();
    reader.wait_for(6);
    // Frames fill all buffers.
    let crowd = restless(&node, "/online.png");
    wait_until("the end of the viewers that never read", PATIENCE + PATIENCE, || {
        reader.next().expect("a viewer that reads stays");
        match node.reading("online").unwrap().count {
            count @ ..=2 => Ok(count),
            count => Err(format!("{count} viewers")),
        }
    })
    .unwrap();
    drop(crowd);
    reader.wait_for(1);
    drop((reader, stalled));
    before.come_back(&node);
}

#[test]
fn a_client_that_never_reads_a_page_is_dropped() {
    let node = start(["--head-timeout", "2s"]);
    let before = Holdings::of(&node);
    // It requests pages and never reads them: responses pile up until the node's socket is full.
    let mut client = never_reads(&node, "/online");
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let pipelined = b"GET /online HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    let _ = client.write_all(&pipelined);
    assert_eq!(get(&node, "/online.json").status(), 200);
    drop(client);
    before.come_back(&node);
}

#[test]
fn ten_thousand_connections_come_and_go_at_once() {
    const CONNECTIONS: usize = 10_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(hard > CONNECTIONS as u64 + 1000, "this test needs more open files: ulimit -n 20000 (hard limit {hard})");
    let node = start([]);
    let before = Holdings::of(&node);
    let mut witness = Stream::open(&node, "/online.png");
    witness.wait_for(1);

    let begun = Instant::now();
    // Half become viewers; the others send the beginning of a head, or nothing.
    let connections: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|number| {
            let mut socket = TcpStream::connect(node.address()).expect("a connection");
            let request: &[u8] = match number % 4 {
                0 | 1 => b"GET /online.png HTTP/1.1\r\nHost: a\r\n\r\n",
                2 => b"GET /online.png HTTP/1.1\r\nHo",
                _ => b"",
            };
            // Above --max-heads, the node closes the oldest.
            let _ = socket.write_all(request);
            socket
        })
        .collect();
    let opened = begun.elapsed();
    witness.wait_for(1 + CONNECTIONS as u64 / 2);
    let counted = begun.elapsed();
    drop(connections);
    witness.wait_for(1);
    println!("{CONNECTIONS} connections in {opened:?}, counted after {counted:?}, gone after {:?}", begun.elapsed());
    drop(witness);
    before.come_back(&node);

    // The same with connections that send nothing.
    drop((0..CONNECTIONS).map(|_| connect(&node)).collect::<Vec<_>>());
    before.come_back(&node);
    let mut again = Stream::open(&node, "/online.png");
    again.wait_for(1);
    drop(again);
    wait_for_count(&node, "online", 0);
}
