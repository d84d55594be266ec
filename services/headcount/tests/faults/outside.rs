//! The public port exposes the number, and nothing about other viewers, nodes or Redis, for any request and during faults.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpStream},
};

use headcount_testkit::{
    BALANCER, Batch, Behaviour, COUNTER, Node, NodeOptions, RedisServer, Viewers, client::ProxyHeader, http,
    promise::SOON, stream,
};

use crate::fleet::{PATIENCE, start};

/// Requests of every kind, good and bad.
const REQUESTS: [&str; 26] = [
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "GET /online HTTP/1.1\r\nHost: a\r\n",
    "GET /online.png HTTP/1.1\r\nHost: a\r\n",
    "GET /online.jpg HTTP/1.1\r\nHost: a\r\nUser-Agent: Firefox/150.0\r\n",
    "GET /online.json HTTP/1.1\r\nHost: a\r\n",
    "GET /online/snapshot.png HTTP/1.1\r\nHost: a\r\n",
    "GET /online/snapshot.svg HTTP/1.1\r\nHost: a\r\n",
    "HEAD /online.png HTTP/1.1\r\nHost: a\r\n",
    "GET /robots.txt HTTP/1.1\r\nHost: a\r\n",
    "GET /favicon.ico HTTP/1.1\r\nHost: a\r\n",
    "GET /metrics HTTP/1.1\r\nHost: a\r\n",
    "GET /healthz HTTP/1.1\r\nHost: a\r\n",
    "GET /readyz HTTP/1.1\r\nHost: a\r\n",
    "GET /status HTTP/1.1\r\nHost: a\r\n",
    "GET /debug/pprof HTTP/1.1\r\nHost: a\r\n",
    "GET /server-status HTTP/1.1\r\nHost: a\r\n",
    "GET /.env HTTP/1.1\r\nHost: a\r\n",
    "GET /../../proc/self/environ HTTP/1.1\r\nHost: a\r\n",
    "GET /online.png?colour=red HTTP/1.1\r\nHost: a\r\n",
    "GET /a/b/c HTTP/1.1\r\nHost: a\r\n",
    "POST /online.png HTTP/1.1\r\nHost: a\r\n",
    "TRACE / HTTP/1.1\r\nHost: a\r\nX-Secret: b\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
    "GET /online.png HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n",
    "GET /online.png HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n",
    "nonsense\r\n",
];

/// All fields of the JSON.
const FIELDS: [&str; 8] = ["counter", "count", "visitors", "stale", "as_of", "epoch", "version", "watching"];

/// The viewers behind the load balancer: 203.0.113.77 to .79.
const PEOPLE: u32 = 3;
const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));

/// Six connections of three people to two nodes.
fn watch(nodes: &[Node]) -> Viewers {
    let behaviour = Behaviour {
        proxy_header: Some(ProxyHeader { first: FIRST, distinct: PEOPLE }),
        source: Some(BALANCER),
        ..Behaviour::default()
    };
    let urls = nodes.iter().map(stream).collect();
    let viewers = Viewers::start(Batch { count: 6, urls, behaviour, ..Batch::default() }).unwrap();
    viewers.all_see(6, SOON).unwrap();
    viewers
}

pub(crate) fn the_public_port_tells_nothing_else() -> anyhow::Result<()> {
    let mut redis = RedisServer::start_with(&["--requirepass", "open-sesame"]).unwrap();
    let url = redis.url().replace("redis://", "redis://:open-sesame@");
    let options = NodeOptions::redis(&url).behind_balancer().with(["--redis-prefix", "hidden-prefix:"]);
    let nodes = [(); 2].map(|()| start(options.clone()));
    for node in &nodes {
        node.ready(PATIENCE).unwrap();
    }
    let viewers = watch(&nodes);
    let [asked, other] = &nodes;
    let ports = [redis.address(), asked.admin(), other.admin(), other.address()].map(|address| address.port());
    let mut secrets: Vec<String> = ports.map(|port| format!(":{port}")).to_vec();
    let words = ["open-sesame", "hidden-prefix", "203.0.113.", "redis:", "Redis", "headcount_", "panicked", "X-Secret"];
    secrets.extend(words.map(str::to_owned));

    let all_is_quiet = |when: &str| {
        for request in REQUESTS {
            let answer = answer(asked, request);
            let text = String::from_utf8_lossy(&answer);
            let lower = text.to_ascii_lowercase();
            for secret in &secrets {
                assert!(!text.contains(secret.as_str()), "{when}, {request:?} tells {secret}: {text}");
            }
            for header in ["set-cookie:", "server:", "x-powered-by:", "via:"] {
                assert!(!lower.contains(header), "{when}, {request:?}: {text}");
            }
        }
        let json = http::get(asked.address(), &format!("/{COUNTER}.json")).unwrap();
        let json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&json.body).unwrap();
        assert!(json.keys().all(|field| FIELDS.contains(&field.as_str())), "{json:?}");
    };
    all_is_quiet("all is well");
    redis.kill();
    all_is_quiet("without Redis");
    drop(viewers);
    Ok(())
}

/// What is answered within a moment: of a stream, its beginning.
fn answer(node: &Node, request: &str) -> Vec<u8> {
    let mut socket = TcpStream::connect(node.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "{request}Connection: close\r\n\r\n").unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return answer,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
        // A stream goes on for ever; behind its first image is the next part's boundary.
        if answer.windows(13).filter(|window| window == b"\r\n--headcount").count() == 2 {
            return answer;
        }
    }
}
