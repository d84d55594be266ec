//! Responses that their client does not read: they are bounded in memory and in time, and keep nobody else out.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{Node, http, wait_until};

use crate::{
    bad_input::never_reads,
    exchange::{get, request},
    hostile::start_with_descriptors,
    node::{Holdings, PATIENCE, start},
    raw_http2::RawHttp2,
    stream::Stream,
};

/// Returns the path of a picture of 390 kB, with a different one for each number.
fn costly(number: usize) -> String {
    format!("/online/snapshot.svg?style=odometer&height=80&label={}&bg={number:06x}", "%E2%98%83".repeat(32))
}

/// Waits until the node closes the connection.
fn wait_for_end(socket: &mut TcpStream, what: &str) {
    let begun = Instant::now();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    loop {
        match socket.read(&mut [0; 16 << 10]) {
            Ok(0) => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
            Ok(_) => {}
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: the node keeps the connection");
    }
}

#[test]
fn unread_http2_responses_are_bounded_in_memory_and_in_time() {
    let node = start(["--stall-limit", "3s"]);
    println!("a costly picture has {} bytes", get(&node, &costly(0)).body.len());
    let before = node.usage().unwrap();
    let mut clients: Vec<RawHttp2> = (0..3).map(|_| RawHttp2::connect(&node, 0)).collect();
    for number in 0..100 {
        for (index, client) in clients.iter_mut().enumerate() {
            // The node may have closed already.
            let _ = client.get(&costly(number * 3 + index));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let grown = (node.usage().unwrap() - before).pss_bytes >> 20;
    println!("{grown} MiB for 300 unread pictures");
    assert!(grown < 48, "{grown} MiB wait for clients that read nothing");
    for client in &mut clients {
        wait_for_end(client.socket(), "unread responses");
    }
}

#[test]
fn a_response_that_is_read_in_time_is_whole() {
    // A window smaller than the picture, opened bit by bit: each step is progress.
    let node = start(["--stall-limit", "1s"]);
    let length = get(&node, &costly(0)).body.len();
    let mut client = RawHttp2::connect(&node, 0);
    let stream = client.get(&costly(0)).unwrap();
    let step = 40_000;
    let mut received = 0;
    let mut bytes = [0; 64 << 10];
    client.socket().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut allowed = 0;
    while allowed < length {
        allowed += step;
        client.allow(stream, step as u32);
        client.allow(0, step as u32);
        loop {
            match client.socket().read(&mut bytes) {
                Ok(0) => panic!("closed after {received} of {length} bytes"),
                Ok(read) => received += read,
                Err(_) => break,
            }
        }
    }
    assert!(received > length, "{received} of {length} bytes");
}

#[test]
fn unread_responses_do_not_keep_newcomers_out() {
    let node = start_with_descriptors();
    let mut viewer = Stream::open(&node, "/online.png");
    viewer.wait_for(1);
    let unread: Vec<RawHttp2> = (0..640)
        .map(|_| {
            let mut client = RawHttp2::connect(&node, 0);
            let _ = client.get("/online.json");
            client
        })
        .collect();
    wait_until("all of them accepted", PATIENCE, || match node.metric("headcount_connections_accepted_total") {
        Ok(accepted) if accepted >= 641.0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .unwrap();
    assert_eq!(http::get(node.admin(), "/readyz").unwrap().status, 200);
    let _other = Stream::open(&node, "/online.png");
    viewer.wait_for(2);
    assert_eq!(node.metric("headcount_accept_failures_total").unwrap(), 0.0);
    drop(unread);
}

#[test]
fn an_unread_http1_response_is_dropped() {
    let node = start(["--stall-limit", "2s", "--head-timeout", "1s"]);
    let before = Holdings::of(&node);
    // More than all buffers on the way hold.
    let mut client = never_reads(&node, &costly(0));
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let _ = client.write_all(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", costly(0)).repeat(40).as_bytes());
    before.come_back(&node);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn a_connection_has_at_most_a_megabyte_of_unread_responses() {
    let node = start([]);
    let mut client = RawHttp2::connect(&node, 0);
    for number in 0..20 {
        client.get(&costly(number)).unwrap();
    }
    refused(&node, 17.0);
    // Others are not affected.
    assert_eq!(request(&node, "GET", &costly(0), &[]).status(), 200);
}

fn refused(node: &Node, at_least: f64) {
    wait_until("refusals", PATIENCE, || {
        let metrics = node.metrics().unwrap();
        let line = metrics.lines().find(|line| line.contains("refusals_total{cause=\"unread\"}")).unwrap_or("0");
        match line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()) {
            Some(found) if found >= at_least => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .unwrap();
}

#[test]
fn a_viewer_that_can_receive_nothing_is_reset() {
    let node = start(["--stall-limit", "1s"]);
    let mut client = RawHttp2::connect(&node, 0);
    let stream = client.get("/online.png").unwrap();
    // RST_STREAM, of four bytes.
    let reset = [&[0, 0, 4, 3, 0][..], &stream.to_be_bytes()].concat();
    let begun = Instant::now();
    let mut received = Vec::new();
    client.socket().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    while !received.windows(reset.len()).any(|bytes| bytes == reset) {
        let mut bytes = [0; 4096];
        match client.socket().read(&mut bytes) {
            Ok(read) => received.extend_from_slice(&bytes[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(begun.elapsed() < PATIENCE, "the stream is kept");
    }
}

#[test]
fn a_viewer_counts_once_its_first_frame_has_been_sent() {
    let node = start([]);
    let mut witness = Stream::open(&node, "/online.png");
    witness.wait_for(1);
    for window in [0, 1] {
        let mut client = RawHttp2::connect(&node, window);
        let stream = client.get("/online.png").unwrap();
        thread::sleep(Duration::from_millis(700));
        assert_eq!(node.reading("online").unwrap().count, 1, "with a window of {window} it cannot receive a frame");
        client.allow(stream, 1 << 20);
        witness.wait_for(2);
        drop(client);
        witness.wait_for(1);
    }
}
