//! The proxy between a client and a real Redis.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use headcount_testkit::{
    Proxy, RedisServer,
    proxy::{Direction, ScriptFaults},
    resp::{self, Value},
    wait_until,
};

const SOON: Duration = Duration::from_secs(10);

/// A connection that asks many things at once, as a multiplexing client does.
struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Client {
    fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self { stream, bytes: Vec::new() }
    }

    fn send(&mut self, arguments: &[&str]) {
        self.stream.write_all(&resp::command(arguments)).unwrap();
    }

    fn answer(&mut self) -> std::io::Result<Value> {
        loop {
            if let Some((value, used)) = resp::message(&self.bytes)? {
                self.bytes.drain(..used);
                return Ok(value);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => self.bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn quiet(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let quiet = self.answer().is_err();
        self.stream.set_read_timeout(Some(SOON)).unwrap();
        quiet
    }
}

/// Appends its argument to a list and gives the argument back.
const SCRIPT: [&str; 4] = ["EVAL", "redis.call('RPUSH', KEYS[1], ARGV[1]) return ARGV[1]", "1", "seen"];

fn seen(redis: &RedisServer) -> Vec<String> {
    redis.command(&["LRANGE", "seen", "0", "-1"]).unwrap().list().iter().map(Value::text).collect()
}

#[test]
fn calls_are_doubled_and_reordered_behind_the_clients_back() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.address()).unwrap();
    let later = Duration::from_millis(30);
    proxy.disturb_scripts(ScriptFaults {
        double: 0.3,
        echo: 0.3,
        hold_back: 0.5,
        later,
        seed: 3,
        ..ScriptFaults::default()
    });
    let mut client = Client::connect(&proxy);
    for index in 0..100 {
        client.send(&[&SCRIPT[..], &[&index.to_string()]].concat());
        client.send(&["PING", &format!("p{index}")]);
    }
    for index in 0..100 {
        assert_eq!(client.answer().unwrap().text(), index.to_string());
        assert_eq!(client.answer().unwrap().text(), format!("p{index}"));
    }
    assert!(proxy.disturbed() > 50, "{}", proxy.disturbed());
    let seen = wait_until("the echoes", SOON, || {
        let seen = seen(&redis);
        if seen.len() > 120 { Ok(seen) } else { Err(format!("{seen:?}")) }
    })
    .unwrap();
    assert!(!seen.is_sorted_by_key(|number| number.parse::<u32>().unwrap()), "nothing was overtaken: {seen:?}");
}

#[test]
fn a_lost_answer_ends_the_connection_after_the_deed() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.address()).unwrap();
    proxy.disturb_scripts(ScriptFaults { lose_answer: 1.0, ..ScriptFaults::default() });
    let mut client = Client::connect(&proxy);
    client.send(&["PING", "a"]);
    assert_eq!(client.answer().unwrap().text(), "a");
    client.send(&[&SCRIPT[..], &["1"]].concat());
    assert!(client.answer().is_err());
    assert_eq!(seen(&redis), ["1"]);
    wait_until("the end of the connection", SOON, || match proxy.connections() {
        0 => Ok(()),
        open => Err(open),
    })
    .unwrap();
}

#[test]
fn only_deliveries_are_swallowed() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.address()).unwrap();
    let mut client = Client::connect(&proxy);
    client.send(&["SUBSCRIBE", "news"]);
    assert_eq!(client.answer().unwrap().list()[0].text(), "subscribe");
    redis.command(&["PUBLISH", "news", "1"]).unwrap();
    assert_eq!(client.answer().unwrap().list()[2].text(), "1");
    proxy.drop_messages();
    redis.command(&["PUBLISH", "news", "2"]).unwrap();
    client.send(&["PING"]);
    assert_eq!(client.answer().unwrap().list()[0].text(), "pong");
    assert!(client.quiet(Duration::from_millis(50)));
    proxy.heal();
    redis.command(&["PUBLISH", "news", "3"]).unwrap();
    assert_eq!(client.answer().unwrap().list()[2].text(), "3");
}

#[test]
fn what_is_held_arrives_when_healed() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.address()).unwrap();
    let mut client = Client::connect(&proxy);
    client.send(&["PING"]);
    client.answer().unwrap();
    proxy.hold(Direction::ToServer);
    client.send(&["SET", "held", "1"]);
    assert!(client.quiet(Duration::from_millis(100)));
    assert_eq!(redis.keys().unwrap(), [""; 0]);
    proxy.heal();
    assert_eq!(client.answer().unwrap().text(), "OK");
    proxy.hold(Direction::ToClient);
    client.send(&["SET", "held", "2"]);
    assert!(client.quiet(Duration::from_millis(100)));
    assert_eq!(redis.command(&["GET", "held"]).unwrap().text(), "2");
    proxy.heal();
    assert_eq!(client.answer().unwrap().text(), "OK");
    proxy.delay(Direction::ToServer, Duration::from_millis(80));
    let begun = Instant::now();
    client.send(&["PING"]);
    client.answer().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(80));
}

#[test]
fn a_cut_lasts_until_it_is_healed() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.address()).unwrap();
    let mut client = Client::connect(&proxy);
    client.send(&["PING"]);
    client.answer().unwrap();
    proxy.cut();
    assert!(client.answer().is_err());
    let mut refused = Client::connect(&proxy);
    // The write may succeed before the close is seen.
    let _ = refused.stream.write_all(&resp::command(&["PING"]));
    assert!(refused.answer().is_err());
    proxy.heal();
    let mut client = Client::connect(&proxy);
    client.send(&["PING"]);
    assert_eq!(client.answer().unwrap().text(), "PONG");
}
