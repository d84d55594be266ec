//! SIGHUP: another program, or another configuration, under the same viewers; presence in the process.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use headcount_drawing::read_stamp;
use headcount_testkit::{Batch, Node, NodeOptions, Proxy, RedisServer, Viewers, proxy::Direction, wait_until};
use headcount_wire::html::Liveness;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    exchange::{Answer, connect, get},
    hostile::{ROOM as DESCRIPTOR_ROOM, start_with_descriptors},
    http2, looks,
    node::{Holdings, PATIENCE, wait_for_count},
    stream::{Stream, number},
    text_streams::TextStream,
};

/// The promise for each viewer's next frame.
const NEXT_FRAME: Duration = Duration::from_secs(1);

/// A node whose program and configuration can be replaced.
pub(crate) struct ReloadedNode {
    pub(crate) node: Node,
    folder: TempDir,
}

impl ReloadedNode {
    pub(crate) fn start<const N: usize>(arguments: [&str; N]) -> ReloadedNode {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("headcount");
        let config = folder.path().join("headcount.toml");
        fs::copy(env!("CARGO_BIN_EXE_headcount"), &program).unwrap();
        fs::write(&config, "").unwrap();
        let options = NodeOptions { program: Some(program), ..NodeOptions::default() };
        let config = config.display().to_string();
        let node = Node::start(&options.with(["--config", &config]).with(arguments)).unwrap();
        ReloadedNode { node, folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts another file in the program's place.
    pub(crate) fn install(&self, script: Option<&str>) {
        let new = self.file("new");
        match script {
            Some(script) => fs::write(&new, script).unwrap(),
            None => drop(fs::copy(env!("CARGO_BIN_EXE_headcount"), &new).unwrap()),
        }
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.file("headcount")).unwrap();
    }

    /// Puts a program in place that finds a state of a format that it does not know.
    pub(crate) fn install_with_another_format(&self) {
        // The 17th byte of the memory file is the number of the format.
        let program = env!("CARGO_BIN_EXE_headcount");
        self.install(Some(&format!(
            "#!/bin/bash\n[ \"$1\" = check ] && exec {program} \"$@\"\n\
             printf '\\143' | dd of=/proc/self/fd/$HEADCOUNT_HANDOVER bs=1 seek=16 conv=notrunc status=none\n\
             exec {program} \"$@\"\n"
        )));
    }

    /// Sends SIGHUP and waits for the outcome.
    pub(crate) fn reload(&self, outcome: &str) {
        let before = self.outcomes(outcome);
        self.node.process().signal(Signal::SIGHUP).unwrap();
        wait_until(outcome, PATIENCE, || match self.outcomes(outcome) {
            after if after > before => Ok(()),
            _ => Err(format!("{:#?}", self.node.log())),
        })
        .unwrap();
    }

    /// How many reloads have ended so. The admin port pauses during a reload.
    fn outcomes(&self, outcome: &str) -> u64 {
        let series = format!("headcount_reloads_total{{outcome=\"{outcome}\"}} ");
        wait_until("metrics", PATIENCE, || {
            let metrics = self.node.metrics().map_err(|error| error.to_string())?;
            metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).ok_or("no such series".to_owned())
        })
        .unwrap()
    }

    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.node.log().iter().any(|line| line.contains(text))
    }
}

#[test]
fn viewers_go_on_under_another_program() {
    let reloaded = ReloadedNode::start([]);
    let node = &reloaded.node;
    let paths = ["/online.png", "/online.jpg", "/online.png?style=odometer&height=40", "/blog.png", "/online.png"];
    let mut streams: Vec<Stream> = paths.iter().map(|path| Stream::open(node, path)).collect();
    wait_for_count(node, "online", 4);
    streams.iter_mut().zip([4, 4, 4, 1, 4]).for_each(|(stream, count)| drop(stream.wait_for(count)));
    let before = node.reading("online").unwrap();
    for round in 1..=3_u64 {
        reloaded.install(None);
        let signalled = Instant::now();
        reloaded.node.process().signal(Signal::SIGHUP).unwrap();
        for (stream, count) in streams.iter_mut().zip([4, 4, 4, 1, 4]) {
            assert_eq!(number(&stream.next().expect("the stream goes on")), count, "the number does not move");
        }
        assert!(signalled.elapsed() < NEXT_FRAME, "{:?}", signalled.elapsed());
        wait_until("the outcome", PATIENCE, || match reloaded.outcomes("done") {
            done if done == round => Ok(()),
            done => Err(done.to_string()),
        })
        .unwrap();
        assert_eq!(node.metric("headcount_reload_viewers_total").unwrap(), (5 * round) as f64);
        assert!(node.metric("headcount_reload_pause_seconds").unwrap() < 1.0);
    }
    let after = node.reading("online").unwrap();
    assert_eq!((after.count, after.visitors, after.epoch), (before.count, before.visitors, before.epoch));
    assert!(after.version >= before.version, "{after:?} after {before:?}");

    let newcomer = Stream::open(node, "/online.png");
    streams.iter_mut().enumerate().filter(|(index, _)| *index != 3).for_each(|(_, stream)| drop(stream.wait_for(5)));
    drop(newcomer);
    drop(streams.pop());
    streams[0].wait_for(3);
}

#[test]
fn streams_of_every_format_go_on_under_another_program() {
    let reloaded = ReloadedNode::start([]);
    let node = &reloaded.node;
    let mut picture = Stream::open(node, "/online.png");
    let mut document = TextStream::open(node, "/online/live.html?style=odometer");
    let mut events = TextStream::open(node, "/online/events");
    let mut looking = TextStream::open(node, "/online/events?count=no");
    picture.wait_for(3);
    document.wait_for("3");
    events.wait_for_event(3);
    looking.wait_for_event(3);
    for _ in 0..3 {
        reloaded.install(None);
        reloaded.reload("done");
        assert_eq!(number(&picture.next().expect("the stream goes on")), 3);
        document.wait_for("3");
        events.wait_for_event(3);
        looking.wait_for_event(3);
        let json: serde_json::Value = serde_json::from_slice(&get(node, "/online.json").body).unwrap();
        assert_eq!((&json["count"], &json["watching"]), (&3.into(), &1.into()), "{json}");
    }
    let _newcomer = Stream::open(node, "/online.png");
    document.wait_for("4");
    events.wait_for_event(4);
    let numbers: Vec<u64> = document
        .body
        .match_indices("<b id=n")
        .map(|(at, found)| document.body[at + found.len()..].split('>').next().unwrap())
        .map(|number| u64::from_str_radix(number, 36).unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "each update is shown alone: {numbers:?}");
    drop((picture, document, events, looking));
    wait_for_count(node, "online", 1);
}

#[test]
fn who_is_expected_back_is_so_after_a_reload() {
    let reloaded = ReloadedNode::start(["--document-updates", "1", "--keepalive", "1s"]);
    let node = &reloaded.node;
    let document = TextStream::open(node, "/online/live.html");
    let begun = Instant::now();
    let body = document.read_to_end();
    assert!(body.contains(">1</b>"), "{body}");
    reloaded.reload("done");
    assert_eq!(node.reading("online").unwrap().count, 1, "{:?} after it began", begun.elapsed());
    TextStream::open_with(node, "/online/live.html", "Cache-Control: max-age=0\r\n").wait_for("1");
    assert_eq!(node.reading("online").unwrap().count, 1);
}

#[test]
fn streams_of_a_format_that_the_new_program_does_not_know_end_properly() {
    let reloaded = ReloadedNode::start([]);
    let mut picture = Stream::open(&reloaded.node, "/online.png");
    let mut document = TextStream::open(&reloaded.node, "/online/live.html");
    let mut events = TextStream::open(&reloaded.node, "/online/events");
    picture.wait_for(3);
    document.wait_for("3");
    events.wait_for_event(3);
    // The names of the formats are in the memory file: to this program they say nothing.
    let program = env!("CARGO_BIN_EXE_headcount");
    reloaded.install(Some(&format!(
        "#!/bin/bash\n[ \"$1\" = check ] && exec {program} \"$@\"\n\
         perl -e 'open F, \"+</proc/self/fd/$ENV{{HEADCOUNT_HANDOVER}}\"; binmode F; local $/; $_ = <F>; \
         s/format\\xa4html/format\\xa4hxml/; s/format\\xa6events/format\\xa6evexts/; seek F, 0, 0; print F; close F'\n\
         exec {program} \"$@\"\n"
    )));
    reloaded.node.process().signal(Signal::SIGHUP).unwrap();
    let last = std::iter::from_fn(|| document.next_update()).last().expect("a last update");
    assert_eq!((last.text.as_str(), last.liveness), ("3", Liveness::Stale));
    let (_, last) = std::iter::from_fn(|| events.next_event()).last().expect("a last event");
    assert!(last["count"] == 3 && last["stale"] == true, "{last}");
    picture.wait_for(1);
    let _another = TextStream::open(&reloaded.node, "/online/live.html");
    picture.wait_for(2);
}

#[test]
fn nothing_is_left_over_from_reloads() {
    let reloaded = ReloadedNode::start([]);
    reloaded.reload("done");
    let first = Holdings::of(&reloaded.node);
    let streams: Vec<Stream> = (0..50).map(|_| Stream::open(&reloaded.node, "/online.png")).collect();
    wait_for_count(&reloaded.node, "online", 50);
    for _ in 0..10 {
        reloaded.reload("done");
    }
    wait_for_count(&reloaded.node, "online", 50);
    drop(streams);
    first.come_back(&reloaded.node);
}

#[test]
fn a_broken_program_changes_nothing() {
    let reloaded = ReloadedNode::start([]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    stream.wait_for(1);
    reloaded.install(Some("#!/bin/sh\necho 'I am no node' >&2\nexit 3\n"));
    reloaded.reload("rejected");
    reloaded.node.logs("I am no node", PATIENCE).unwrap();
    fs::remove_file(reloaded.file("headcount")).unwrap();
    reloaded.reload("rejected");
    reloaded.node.logs("cannot be run", PATIENCE).unwrap();
    // It says that it would start, and cannot be run.
    reloaded.install(Some("#!/bin/sh\nrm -f \"$0\"\n"));
    reloaded.reload("failed");
    let _other = Stream::open(&reloaded.node, "/online.png");
    stream.wait_for(2);
    reloaded.install(None);
    reloaded.reload("done");
    let _third = Stream::open(&reloaded.node, "/online.png");
    stream.wait_for(3);
}

#[test]
fn the_configuration_is_read_again() {
    let reloaded = ReloadedNode::start([]);
    let node = &reloaded.node;
    fs::write(reloaded.file("headcount.toml"), "counters = 'online'\n").unwrap();
    reloaded.reload("done");
    let mut stream = Stream::open(node, "/online.png");
    assert_eq!(get(node, "/blog.json").status(), 404);
    fs::write(reloaded.file("headcount.toml"), "counters = 'online,blog'\nframe-rat = 20\n").unwrap();
    reloaded.reload("rejected");
    reloaded.node.logs("frame-rat", PATIENCE).unwrap();
    assert_eq!(get(node, "/blog.json").status(), 404);
    fs::write(reloaded.file("headcount.toml"), "counters = 'online,blog'\n").unwrap();
    reloaded.reload("done");
    assert_eq!(get(node, "/blog.json").status(), 200);
    // Its viewers stay even if a counter goes.
    fs::write(reloaded.file("headcount.toml"), "counters = 'blog'\n").unwrap();
    reloaded.reload("done");
    assert_eq!(get(node, "/online.json").status(), 404);
    while number(&stream.next().expect("the stream goes on")) != 1 {}
}

#[test]
fn another_address_is_listened_on_and_the_old_one_kept_if_it_is_taken() {
    let reloaded = ReloadedNode::start([]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (program, address) = (env!("CARGO_BIN_EXE_headcount"), taken.local_addr().unwrap());
    reloaded.install(Some(&format!(
        "#!/bin/sh\n[ \"$1\" = check ] && exit 0\n\
         exec {program} serve --log-format json --admin 127.0.0.1:0 --listen {address}\n"
    )));
    reloaded.reload("done");
    reloaded.node.logs("stays on", PATIENCE).unwrap();
    assert_eq!(get(&reloaded.node, "/online.json").status(), 200);
    drop(taken);
    reloaded.reload("done");
    let mut answer = String::new();
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET /online.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    while number(&stream.next().expect("the stream goes on")) != 1 {}
}

/// Sends each request in two pieces, with reloads between them. All are answered.
fn answers_over_reloads(reloaded: &ReloadedNode, requests: &[String]) {
    let mut waiting: Vec<(TcpStream, &str)> = Vec::new();
    for request in requests {
        for cut in 0..request.len() {
            let mut socket = connect(&reloaded.node);
            socket.write_all(&request.as_bytes()[..cut]).unwrap();
            waiting.push((socket, &request[cut..]));
        }
    }
    // A response shows that those have been accepted too.
    drop(Stream::open_by(&reloaded.node, requests[0].as_bytes()));
    let signalled = Instant::now();
    reloaded.reload("done");
    assert!(signalled.elapsed() < NEXT_FRAME, "nobody waits for them: {:?}", signalled.elapsed());
    reloaded.reload("done");
    for (mut socket, rest) in waiting {
        socket.write_all(rest.as_bytes()).unwrap();
        number(&Stream::read_head(socket).next().expect("a picture"));
    }
}

#[test]
fn a_request_that_is_not_complete_is_answered_by_the_new_program() {
    let reloaded = ReloadedNode::start([]);
    answers_over_reloads(&reloaded, &["GET /online.png HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n".to_owned()]);
}

#[test]
fn so_is_one_behind_a_load_balancer() {
    let reloaded = ReloadedNode::start(["--proxy-protocol-from", "127.0.0.0/8", "--max-address-streams", "200"]);
    answers_over_reloads(
        &reloaded,
        &[looks::proxied("192.0.2.7", "/online.png"), looks::proxied("198.51.100.9", "/blog.png?style=flat")],
    );
    // By the client's address, not by the load balancer's.
    let _one = looks::open_for(&reloaded.node, "192.0.2.7", "/online.png");
    let mut two = looks::open_for(&reloaded.node, "192.0.2.8", "/online.png");
    two.wait_for(2);
    let mut three = looks::open_for(&reloaded.node, "192.0.2.8", "/online.png?show=visitors");
    three.wait_for(2);
    two.wait_for(3);
}

#[test]
fn a_request_that_waits_for_redis_is_answered_by_the_new_program() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.address()).unwrap();
    let reloaded = ReloadedNode::start(["--redis", &proxy.url(), "--limit-exempt", "192.0.2.0/24"]);
    reloaded.node.ready(PATIENCE).unwrap();
    drop(Stream::open(&reloaded.node, "/online.png"));
    // Longer than a reload waits for requests, shorter than the node waits for Redis.
    proxy.delay(Direction::ToServer, Duration::from_millis(800));
    let mut socket = connect(&reloaded.node);
    write!(socket, "GET /blog.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut stream = connect(&reloaded.node);
    write!(stream, "GET /blog.png HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(100));
    reloaded.reload("done");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::read(&answer).status(), 200);
    number(&Stream::read_head(stream).next().expect("a picture"));
}

/// Newcomers come at this rate.
const COME_EVERY: Duration = Duration::from_millis(1);
/// A newcomer pauses so long in the middle of its request, as on a mobile network.
const MIDDLE: Duration = Duration::from_millis(20);

/// Opens a stream and reads until its first picture. Every other newcomer sends its request in two pieces.
async fn come(address: std::net::SocketAddr, slowly: bool) -> std::io::Result<()> {
    let request = b"GET /online.png HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut socket = tokio::net::TcpStream::connect(address).await?;
    let (begin, rest) = request.split_at(if slowly { 10 } else { 0 });
    if slowly {
        socket.write_all(begin).await?;
        tokio::time::sleep(MIDDLE).await;
    }
    socket.write_all(rest).await?;
    let mut answer = Vec::new();
    while memchr::memmem::find(&answer, b"IEND").is_none() {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(std::io::Error::other(format!("ended after {:?}", String::from_utf8_lossy(&answer))));
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other("not 200")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_a_thousand_come_each_second() {
    const RELOADS: usize = 5;
    let reloaded = std::sync::Arc::new(ReloadedNode::start([]));
    let address = reloaded.node.address();
    let reloads = tokio::task::spawn_blocking({
        let reloaded = std::sync::Arc::clone(&reloaded);
        move || (0..RELOADS).for_each(|_| reloaded.reload("done"))
    });
    let (mut comers, mut ticks) = (tokio::task::JoinSet::new(), tokio::time::interval(COME_EVERY));
    let begun = Instant::now();
    while !reloads.is_finished() {
        ticks.tick().await;
        let slowly = comers.len() % 2 == 0;
        comers.spawn(tokio::time::timeout(PATIENCE, come(address, slowly)));
    }
    reloads.await.unwrap();
    let rate = comers.len() as f64 / begun.elapsed().as_secs_f64();
    assert!(rate > 900.0, "only {rate} came each second");
    let mut all = comers.join_all().await;
    all.retain(|outcome| !matches!(outcome, Ok(Ok(()))));
    assert!(all.is_empty(), "{} refused: {:?}", all.len(), all.first());
}

#[test]
fn a_node_without_descriptors_left_keeps_its_viewers() {
    let node = start_with_descriptors(NodeOptions::default());
    let mut viewers: Vec<Stream> = (0..DESCRIPTOR_ROOM).map(|_| Stream::open(&node, "/online.png")).collect();
    viewers[0].wait_for(DESCRIPTOR_ROOM as u64);
    let silent: Vec<TcpStream> = (0..2 * 512).filter_map(|_| TcpStream::connect(node.address()).ok()).collect();
    for round in 1..=3 {
        node.process().signal(Signal::SIGHUP).unwrap();
        wait_until("an outcome", PATIENCE, || match node.metric("headcount_reloads_total") {
            Ok(outcomes) if outcomes >= f64::from(round) => Ok(()),
            other => Err(format!("{other:?}: {:#?}", node.log().last())),
        })
        .unwrap();
    }
    drop(silent);
    viewers.pop();
    for viewer in &mut viewers {
        viewer.wait_for(DESCRIPTOR_ROOM as u64 - 1);
    }
}

#[test]
fn a_viewer_that_reads_slowly_is_sent_whole_pictures() {
    let reloaded = ReloadedNode::start(["--frame-rate", "60"]);
    let node = &reloaded.node;
    let mut slow = Stream::open(node, "/online.png?style=odometer&height=96&scale=3");
    let lagging = || -> u64 {
        let metrics = node.metrics().unwrap();
        let series = "headcount_viewers_by_state{state=\"lagging\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(series)).expect("the series").parse().unwrap()
    };
    let (mut others, mut alone) = (Vec::new(), 0);
    wait_until("the slow viewer alone lagging for a while", PATIENCE, || {
        // These are read, so that only the slow one lags.
        let batch = Batch { count: 20, urls: vec![node.url("online.png")], ..Batch::default() };
        others.push(Viewers::start_in_thread(&batch).unwrap());
        if others.len() > 20 {
            others.clear();
        }
        thread::sleep(Duration::from_millis(20));
        match lagging() {
            1 if alone == 5 => Ok(()),
            1 => {
                alone += 1;
                Err("only now".to_owned())
            }
            lagging => Err(format!("{lagging} of {} viewers", 20 * others.len())),
        }
    })
    .unwrap();
    reloaded.reload("done");
    wait_until("the slow viewer lagging still", PATIENCE, || match lagging() {
        1 => Ok(()),
        lagging => Err(lagging.to_string()),
    })
    .unwrap();
    // Each picture is whole, and the newest follows: the reader fails otherwise.
    let count = 1 + 20 * others.len() as u64;
    slow.wait_for(count);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_end_and_the_others_go_on() {
    let reloaded = ReloadedNode::start([]);
    let (mut sender, _cable) = http2::connect(&reloaded.node).await;
    let mut streams = http2::open(&mut sender, &reloaded.node, 4).await;
    let mut http1 = Stream::open(&reloaded.node, "/online.png");
    streams[0].wait_for(5).await;
    let reloaded = tokio::task::spawn_blocking(move || {
        reloaded.reload("done");
        reloaded
    });
    for stream in &mut streams {
        let mut last = None;
        while let Some(picture) = stream.next_part().await {
            last = Some(picture);
        }
        assert!(read_stamp(&last.expect("a last picture")).unwrap().stale, "it is marked");
    }
    let reloaded = reloaded.await.unwrap();
    assert_eq!(reloaded.node.metric("headcount_reload_http2_streams_total").unwrap(), 4.0);
    tokio::task::spawn_blocking(move || http1.wait_for(1)).await.unwrap();
}

#[test]
fn the_place_of_a_document_over_http2_is_kept_until_it_is_back() {
    let reloaded = ReloadedNode::start([]);
    let node = &reloaded.node;
    let url = format!("http://{}/online/live.html", node.address());
    let mut curl = std::process::Command::new("curl");
    let mut curl = curl.args(["-sN", "--http2-prior-knowledge", "-o", "/dev/null", &url]).spawn().unwrap();
    wait_for_count(node, "online", 1);
    reloaded.reload("done");
    curl.wait().expect("its stream has ended");
    let ended = Instant::now();
    let count = || node.reading("online").unwrap().count;
    while ended.elapsed() < Duration::from_secs(4) {
        assert_eq!(count(), 1, "after {:?}", ended.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    let _back = TextStream::open_with(node, "/online/live.html", "Cache-Control: max-age=0\r\n");
    while ended.elapsed() < Duration::from_secs(12) {
        assert_eq!(count(), 1, "after {:?}", ended.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_signals_at_once_reload_once_or_twice() {
    let reloaded = ReloadedNode::start([]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    stream.wait_for(1);
    for _ in 0..5 {
        reloaded.node.process().signal(Signal::SIGHUP).unwrap();
    }
    reloaded.reload("done");
    thread::sleep(NEXT_FRAME);
    // This test's last signal may come behind the others.
    assert!((1..=3).contains(&reloaded.outcomes("done")), "{}", reloaded.outcomes("done"));
    let _other = Stream::open(&reloaded.node, "/online.png");
    stream.wait_for(2);
}

#[test]
fn a_stop_during_a_reload_is_not_lost() {
    for pause in [0, 5, 20, 60, 120] {
        let mut reloaded = ReloadedNode::start(["--drain", "0s"]);
        let mut stream = Stream::open(&reloaded.node, "/online.png");
        stream.wait_for(1);
        reloaded.node.process().signal(Signal::SIGHUP).unwrap();
        thread::sleep(Duration::from_millis(pause));
        assert!(reloaded.node.stop(PATIENCE).unwrap().success(), "SIGTERM {pause} ms after SIGHUP");
        while stream.next().is_some() {}
    }
}

#[test]
fn a_node_that_drains_is_not_reloaded() {
    let mut reloaded = ReloadedNode::start(["--drain-delay", "2s", "--drain", "0s"]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    stream.wait_for(1);
    reloaded.node.process().signal(Signal::SIGTERM).unwrap();
    reloaded.node.unready(PATIENCE).unwrap();
    reloaded.node.process().signal(Signal::SIGHUP).unwrap();
    while stream.next().is_some() {}
    assert!(reloaded.node.stop(PATIENCE).unwrap().success());
    assert!(!reloaded.has_logged("reloaded: all viewers"), "{:#?}", reloaded.node.log());
}

#[test]
fn streams_of_an_unknown_format_end_properly_and_nobody_else_is_refused() {
    let reloaded = ReloadedNode::start([]);
    let mut half = connect(&reloaded.node);
    half.write_all(b"GET /online.png HTTP/1.1\r\n").unwrap();
    let mut streams: Vec<Stream> =
        ["/online.png", "/online.jpg"].iter().map(|path| Stream::open(&reloaded.node, path)).collect();
    let mut document = TextStream::open(&reloaded.node, "/online/live.html");
    let mut events = TextStream::open(&reloaded.node, "/online/events?count=no");
    streams.iter_mut().for_each(|stream| drop(stream.wait_for(3)));
    document.wait_for("3");
    events.wait_for_event(3);
    reloaded.install_with_another_format();
    reloaded.node.process().signal(Signal::SIGHUP).unwrap();
    for mut stream in streams {
        let last = std::iter::from_fn(|| stream.next()).last().expect("a last picture");
        assert_eq!(number(&last), 3, "every stream ends with its last picture and the closing boundary");
        assert!(read_stamp(&last).unwrap().stale, "it is marked");
    }
    let last = std::iter::from_fn(|| document.next_update()).last().expect("a last update");
    assert_eq!((last.text.as_str(), last.liveness), ("3", Liveness::Stale));
    let (_, last) = std::iter::from_fn(|| events.next_event()).last().expect("a last event");
    assert!(last["count"] == 3 && last["stale"] == true, "{last}");
    wait_until("the new program", PATIENCE, || reloaded.node.reading("online").map_err(|error| error.to_string()))
        .unwrap();
    wait_for_count(&reloaded.node, "online", 0);
    reloaded.node.logs("\"format\":99", PATIENCE).unwrap();
    half.write_all(b"Host: a\r\n\r\n").unwrap();
    Stream::read_head(half).wait_for(1);
}

/// Reads streams to their end, which must be a marked picture with this number.
fn end_marked(streams: Vec<Stream>, count: u64) {
    for mut stream in streams {
        let last = std::iter::from_fn(|| stream.next()).last().expect("a last picture");
        assert_eq!(number(&last), count);
        assert!(read_stamp(&last).unwrap().stale, "it is marked");
    }
}

#[test]
fn what_breaks_after_the_check_ends_streams_properly() {
    let program = env!("CARGO_BIN_EXE_headcount");
    let breaks = ["counters = 7", "listen = 'nowhere'", "font = '/nowhere'", "log = '==='"];
    for broken in breaks {
        let mut reloaded = ReloadedNode::start([]);
        let mut streams: Vec<Stream> =
            ["/online.png", "/online.jpg"].iter().map(|path| Stream::open(&reloaded.node, path)).collect();
        streams.iter_mut().for_each(|stream| drop(stream.wait_for(2)));
        let config = reloaded.file("headcount.toml").display().to_string();
        reloaded.install(Some(&format!(
            "#!/bin/sh\n[ \"$1\" = check ] && echo \"{broken}\" > {config} && exit 0\nexec {program} \"$@\"\n"
        )));
        reloaded.node.process().signal(Signal::SIGHUP).unwrap();
        end_marked(streams, 2);
        assert!(!reloaded.node.process_ended(PATIENCE).unwrap().success(), "{broken}");
    }
}

#[test]
fn a_variable_that_names_no_handover_is_ignored() {
    for value in ["0", "1", "77", "-1", "x", ""] {
        let options = NodeOptions {
            program: Some(env!("CARGO_BIN_EXE_headcount").into()),
            environment: vec![("HEADCOUNT_HANDOVER".into(), value.into())],
            ..NodeOptions::default()
        };
        let node = Node::start(&options).unwrap();
        Stream::open(&node, "/online.png").wait_for(1);
    }
}
