//! No viewer's address is written anywhere: neither into Redis, nor into a log, at whatever level.

use std::net::IpAddr;

use headcount_testkit::redis::Value;
use headcount_testkit::{
    BALANCER, Batch, Behaviour, COUNTER, Data, Goal, Node, NodeOptions, RedisServer, Viewers, stream, wait_until,
};
use memchr::memmem;

use crate::{
    fleet::{PATIENCE, start},
    limits::{Service, ask},
};

/// Each is used in every way in which an address reaches a node.
const ADDRESSES: [&str; 2] = ["198.51.100.77", "2001:db8:85a3:8d3:1319:8a2e:370:7348"];

pub(crate) fn no_address_is_in_redis_or_in_a_log() -> anyhow::Result<()> {
    let mut service = Service::start(2, &["--log", "trace", "--max-address-streams", "3"]);
    // All commands, whole: what is sent to Redis need not be kept by it.
    for (setting, value) in [("slowlog-max-len", "100000"), ("slowlog-log-slower-than", "0")] {
        service.redis.command(&["CONFIG", "SET", setting, value]).unwrap();
    }
    let behind_proxy = start(NodeOptions::redis(service.redis.url()).with([
        "--log",
        "trace",
        "--max-address-streams",
        "3",
        "--forwarded-from",
        &BALANCER.to_string(),
    ]));
    behind_proxy.ready(PATIENCE).unwrap();
    let mut crowds = Vec::new();
    for address in ADDRESSES {
        // Let in and refused, by PROXY header and by X-Forwarded-For.
        crowds.push(service.attempt(5, address, &service.nodes));
        crowds.push(forwarded(&behind_proxy, address));
        for request in [
            &*format!("GET /{COUNTER}.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            &format!("GET /{COUNTER}.png?height=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            "GET /nothing/here HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            ask(&service.nodes[0], address, request);
        }
    }
    service.redis_knows(2 * 3);
    found_nowhere(&service.redis);
    // Errors are logged, and must not contain an address.
    service.redis.command(&["FLUSHALL"]).unwrap();
    // Of an address's streams, those come back that their nodes do not take for its only one.
    service.redis_knows_addresses(ADDRESSES.len());
    // A node stores the key again once one of its reports has told it of the loss.
    wait_until("the visitors' key", PATIENCE, || match service.redis.keys() {
        Ok(keys) if keys.iter().any(|key| key.ends_with("visitor-key")) => Ok(()),
        keys => Err(format!("{keys:?}")),
    })?;
    found_nowhere(&service.redis);
    service.redis.kill();
    for address in ADDRESSES {
        crowds.push(service.attempt(5, address, &service.nodes[..1]));
    }
    service.redis.restart(Data::Lost).unwrap();
    drop(crowds.remove(0));
    for crowd in &crowds {
        crowd.close(1).unwrap();
    }
    for node in service.nodes.iter_mut() {
        node.stop(PATIENCE).unwrap();
    }
    found_nowhere(&service.redis);
    for node in service.nodes.iter().chain([&behind_proxy]) {
        let log = node.log();
        assert!(log.len() < Node::LOG_LINES, "the log's beginning is lost");
        assert!(log.iter().any(|line| line.contains("\"TRACE\"")), "no trace among {} lines", log.len());
        for (address, form) in forms() {
            let line = log.iter().find(|line| memmem::find(line.as_bytes(), &form).is_some());
            assert!(line.is_none(), "{address} as {form:?}: {line:?}");
        }
    }
    Ok(())
}

/// Viewers behind a proxy that sends their address in a header.
fn forwarded(node: &Node, address: &str) -> Viewers {
    let behaviour = Behaviour {
        headers: vec![("X-Forwarded-For".into(), address.into())],
        source: Some(BALANCER),
        ..Behaviour::default()
    };
    let viewers = Viewers::start(Batch { count: 5, urls: vec![stream(node)], behaviour, ..Batch::default() }).unwrap();
    viewers.reach(Goal::Opened, PATIENCE).unwrap();
    viewers
}

/// How an address might be written.
fn forms() -> Vec<(IpAddr, Vec<u8>)> {
    let mut forms = Vec::new();
    for address in ADDRESSES {
        let address: IpAddr = address.parse().unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
        let mut add = |form: &[u8]| forms.push((address, form.to_vec()));
        add(address.to_string().as_bytes());
        match address {
            IpAddr::V4(v4) => {
                let octets = v4.octets();
                add(&octets);
                add(&hex(&octets));
                add(v4.to_bits().to_string().as_bytes());
                add(format!("{octets:?}").as_bytes());
            }
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                add(&octets);
                add(&octets[..8]);
                add(&hex(&octets[..8]));
                add(b"2001:db8:85a3:8d3");
                add(b"2001:0db8:85a3:08d3");
                add(u64::from_be_bytes(octets[..8].try_into().unwrap()).to_string().as_bytes());
            }
        }
    }
    forms
}

/// Searches all that Redis holds, and all commands that it was sent since the last time.
fn found_nowhere(redis: &RedisServer) {
    let mut everything = Vec::new();
    for key in redis.keys().unwrap() {
        everything.extend_from_slice(key.as_bytes());
        everything.push(b'\n');
        let kind: String = redis.query(&["TYPE", &key]).unwrap();
        let content: &[&str] = match kind.as_str() {
            "string" => &["GET", &key],
            "hash" => &["HGETALL", &key],
            "zset" => &["ZRANGE", &key, "0", "-1", "WITHSCORES"],
            "list" => &["LRANGE", &key, "0", "-1"],
            "none" => continue,
            other => panic!("{key} is a {other}, which this test does not know"),
        };
        add(&mut everything, &redis.query(content).unwrap());
        add(&mut everything, &redis.query(&["DUMP", &key]).unwrap());
    }
    add(&mut everything, &redis.query(&["SLOWLOG", "GET", "-1"]).unwrap());
    redis.command(&["SLOWLOG", "RESET"]).unwrap();
    for (address, form) in forms() {
        if let Some(at) = memmem::find(&everything, &form) {
            let around = &everything[at.saturating_sub(100)..(at + 100).min(everything.len())];
            panic!("{address} is in Redis: {:?}", String::from_utf8_lossy(around));
        }
    }
    // The search itself finds what is there.
    assert!(memmem::find(&everything, b"visitor-key").is_some());
}

fn add(everything: &mut Vec<u8>, value: &Value) {
    match value {
        Value::BulkString(bytes) => everything.extend_from_slice(bytes),
        Value::SimpleString(text) => everything.extend_from_slice(text.as_bytes()),
        Value::Array(values) => values.iter().for_each(|value| add(everything, value)),
        Value::Int(number) => everything.extend_from_slice(number.to_string().as_bytes()),
        Value::Nil => {}
        other => panic!("RESP2 has no {other:?}"),
    }
    everything.push(b'\n');
}
