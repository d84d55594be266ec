//! The proxy between a client and a real Redis.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use headcount_testkit::{
    Proxy, RedisServer,
    proxy::{Direction, ScriptFaults},
    wait_until,
};
use redis::{Cmd, FromRedisValue, Parser, Value};

const SOON: Duration = Duration::from_secs(10);

/// A connection that sends many requests at once, as a multiplexing client does.
struct Client {
    stream: TcpStream,
    parser: Parser,
}

impl Client {
    fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self { stream, parser: Parser::new() }
    }

    /// Sends a request. It may be lost: the write can succeed before the end of the connection is seen.
    fn send(&mut self, arguments: &[&str]) {
        let mut command = Cmd::new();
        command.arg(arguments);
        let _ = self.stream.write_all(&command.get_packed_command());
    }

    fn reply<T: FromRedisValue>(&mut self) -> Option<T> {
        let value: Value = self.parser.parse_value(&mut self.stream).ok()?;
        T::from_redis_value(value).ok()
    }

    fn is_quiet(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let quiet = self.reply::<Value>().is_none();
        self.stream.set_read_timeout(Some(SOON)).unwrap();
        quiet
    }
}

fn start() -> (RedisServer, Proxy, Client) {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.address()).unwrap();
    let client = Client::connect(&proxy);
    (redis, proxy, client)
}

/// Appends its argument to a list and returns the argument.
const SCRIPT: [&str; 4] = ["EVAL", "redis.call('RPUSH', KEYS[1], ARGV[1]) return ARGV[1]", "1", "seen"];

fn seen(redis: &RedisServer) -> Vec<String> {
    redis.query(&["LRANGE", "seen", "0", "-1"]).unwrap()
}

#[test]
fn calls_are_duplicated_and_reordered_unnoticed_by_the_client() {
    let (redis, proxy, _) = start();
    let max_delay = Duration::from_millis(30);
    let faults = ScriptFaults { duplicate: 0.3, repeat: 0.3, reorder: 0.5, max_delay, seed: 3, ..Default::default() };
    proxy.disturb_scripts(faults);
    let mut client = Client::connect(&proxy);
    for index in 0..100 {
        client.send(&[&SCRIPT[..], &[&index.to_string()]].concat());
        client.send(&["PING", &format!("p{index}")]);
    }
    for index in 0..100 {
        assert_eq!(client.reply(), Some(index.to_string()));
        assert_eq!(client.reply(), Some(format!("p{index}")));
    }
    assert!(proxy.disturbed() > 50, "{}", proxy.disturbed());
    let seen = wait_until("the repeated calls", SOON, || {
        let seen = seen(&redis);
        if seen.len() > 120 { Ok(seen) } else { Err(format!("{seen:?}")) }
    })
    .unwrap();
    assert!(!seen.is_sorted_by_key(|number| number.parse::<u32>().unwrap()), "no call was overtaken: {seen:?}");
}

#[test]
fn a_lost_reply_closes_the_connection_after_the_call_has_run() {
    let (redis, proxy, mut client) = start();
    proxy.disturb_scripts(ScriptFaults { lose_reply: 1.0, ..ScriptFaults::default() });
    client.send(&["PING", "a"]);
    assert_eq!(client.reply(), Some("a".to_owned()));
    client.send(&[&SCRIPT[..], &["1"]].concat());
    assert_eq!(client.reply::<Value>(), None);
    assert_eq!(seen(&redis), ["1"]);
    wait_until("the end of the connection", SOON, || match proxy.connections() {
        0 => Ok(()),
        open => Err(open),
    })
    .unwrap();
}

#[test]
fn only_published_messages_are_dropped() {
    let (redis, proxy, mut client) = start();
    let publish = |text| redis.command(&["PUBLISH", "news", text]).unwrap();
    let message = |text: &str| Some(["message", "news", text].map(str::to_owned).to_vec());
    client.send(&["SUBSCRIBE", "news"]);
    assert!(client.reply::<Value>().is_some());
    publish("1");
    assert_eq!(client.reply(), message("1"));
    proxy.drop_messages();
    publish("2");
    client.send(&["PING"]);
    assert_eq!(client.reply(), Some(vec!["pong".to_owned(), String::new()]));
    assert!(client.is_quiet(Duration::from_millis(50)));
    proxy.heal();
    publish("3");
    assert_eq!(client.reply(), message("3"));
}

#[test]
fn what_is_held_arrives_after_healing() {
    let (redis, proxy, mut client) = start();
    let ok = Some("OK".to_owned());
    proxy.hold(Direction::ToServer);
    client.send(&["SET", "held", "1"]);
    assert!(client.is_quiet(Duration::from_millis(100)));
    assert_eq!(redis.keys().unwrap(), [""; 0]);
    proxy.heal();
    assert_eq!(client.reply(), ok);
    proxy.hold(Direction::ToClient);
    client.send(&["SET", "held", "2"]);
    assert!(client.is_quiet(Duration::from_millis(100)));
    assert_eq!(redis.query::<u8>(&["GET", "held"]).unwrap(), 2);
    proxy.heal();
    assert_eq!(client.reply(), ok);
    proxy.delay(Direction::ToServer, Duration::from_millis(80));
    let begun = Instant::now();
    client.send(&["PING"]);
    client.reply::<Value>();
    assert!(begun.elapsed() >= Duration::from_millis(80));
}

#[test]
fn a_cut_lasts_until_healing() {
    let (_redis, proxy, mut client) = start();
    client.send(&["PING"]);
    assert!(client.reply::<Value>().is_some());
    proxy.cut();
    assert_eq!(client.reply::<Value>(), None);
    let mut refused = Client::connect(&proxy);
    refused.send(&["PING"]);
    assert_eq!(refused.reply::<Value>(), None);
    proxy.heal();
    let mut client = Client::connect(&proxy);
    client.send(&["PING"]);
    assert_eq!(client.reply(), Some("PONG".to_owned()));
}
