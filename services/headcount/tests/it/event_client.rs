//! Events, read by a client library that others write.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use eventsource_stream::{Event, EventStream};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use headcount_testkit::{Node, NodeOptions};
use serde_json::Value;

use crate::{
    node::{PATIENCE, start, wait_for_count},
    stream::Stream,
};

/// The pieces of a response's body, as they arrive.
type Pieces = stream::Iter<Box<dyn Iterator<Item = io::Result<Vec<u8>>>>>;

/// A client as programs have it: the library reads, and the client does what it has read.
struct Client {
    address: SocketAddr,
    /// `None` while there is no connection.
    events: Option<EventStream<Pieces>>,
    /// The last event's id, which the next request names.
    last_id: String,
    /// After which time the client connects again.
    retry: Option<Duration>,
}

impl Client {
    fn of(node: &Node) -> Client {
        Client { address: node.address(), events: None, last_id: String::new(), retry: None }
    }

    /// Requests the stream. Fails where nobody answers.
    fn connect(&mut self) -> io::Result<()> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let last_id = match self.last_id.as_str() {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        write!(socket, "GET /online/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n{last_id}\r\n")?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && head.contains("content-type: text/event-stream"), "{head}");
        let pieces = std::iter::from_fn(move || {
            let mut bytes = vec![0; 4096];
            match socket.read(&mut bytes) {
                Ok(0) => None,
                Ok(read) => Some(Ok(bytes[..read].to_vec())),
                Err(error) => Some(Err(error)),
            }
        });
        let pieces: Box<dyn Iterator<Item = io::Result<Vec<u8>>>> = Box::new(pieces);
        self.events = Some(EventStream::new(stream::iter(pieces)));
        Ok(())
    }

    /// The next event of this connection. `None` at its end.
    fn next(&mut self) -> Option<(Event, Value)> {
        let events = self.events.as_mut()?;
        // Its pieces are read in turn, by calls that wait.
        let Some(Ok(event)) = events.next().now_or_never().expect("it waits for nothing else") else {
            self.events = None;
            return None;
        };
        self.last_id.clone_from(&event.id);
        self.retry = event.retry.or(self.retry);
        let data = serde_json::from_str(&event.data).unwrap();
        Some((event, data))
    }

    /// The first event with this count. Where the connection breaks, the client makes another after the time that it was told.
    fn wait_for(&mut self, count: u64) -> (Event, Value) {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "no event with a count of {count}");
            match self.next() {
                Some(event) if event.1["count"] == count => return event,
                Some(_) => {}
                None => {
                    thread::sleep(self.retry.unwrap_or_default());
                    let _refused = self.connect();
                }
            }
        }
    }
}

fn id(data: &Value) -> String {
    format!("{}-{}", data["epoch"], data["version"])
}

#[test]
fn a_client_library_follows_events_and_comes_back() {
    let mut node = start([]);
    let mut client = Client::of(&node);
    let (first, data) = client.wait_for(1);
    assert_eq!((first.event.as_str(), first.id.clone()), ("message", id(&data)));
    assert!((1_000..5_000).contains(&client.retry.expect("a time to come back").as_millis()), "{:?}", client.retry);
    for field in ["counter", "visitors", "stale", "as_of"] {
        assert!(!data[field].is_null(), "{field} is not in {data}");
    }

    let viewer = Stream::open(&node, "/online.png");
    let (second, data) = client.wait_for(2);
    assert_eq!(second.id, id(&data));
    assert_ne!(second.id, first.id);

    let (address, killed) = (node.address().to_string(), Instant::now());
    node.kill();
    drop(viewer);
    let options = NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::default() };
    let mut node = Node::start(&options.with(["--listen", &address])).unwrap();
    let (again, data) = client.wait_for(1);
    println!("back {:.1?} after its node was killed", killed.elapsed());
    assert_eq!((again.id.clone(), client.last_id.as_str()), (id(&data), again.id.as_str()));

    // A stop ends the stream with the same number, not live, and with another time to come back.
    let before = client.retry;
    assert!(node.stop(PATIENCE).unwrap().success());
    let (last, data) = client.next().expect("a last event");
    assert_eq!((&data["count"], &data["stale"]), (&1.into(), &true.into()));
    assert!(last.retry.is_some_and(|retry| (1_000..5_000).contains(&retry.as_millis())), "{last:?}");
    assert_ne!(last.retry, before);
    assert!(client.next().is_none(), "and then it ends");
}

#[test]
fn a_client_library_gets_an_empty_stream_where_there_is_no_room() {
    let node = start(["--max-viewers", "1"]);
    let _viewer = Stream::open(&node, "/online.png");
    wait_for_count(&node, "online", 1);
    let mut client = Client::of(&node);
    client.connect().unwrap();
    assert!(client.next().is_none(), "200, and no event");
    wait_for_count(&node, "online", 1);
}
