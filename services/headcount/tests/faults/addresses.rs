//! The kinds of Redis that a node can be pointed at, each with viewers, a change, and an end.

use std::{net::TcpListener, path::Path, process::Command};

use headcount_testkit::{Fleet, Node, NodeOptions, Promise, RedisServer, http, promise::SOON};

use crate::{
    fleet::{self, PATIENCE, binary, start},
    status, store,
};

const PASSWORD: &str = "s3cret";

/// Nodes with these options agree.
fn nodes_agree(what: &str, options: &NodeOptions, redis: &RedisServer) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(&binary(options.clone()), &[3, 4])?;
    fleet.nodes[0].join(2)?;
    fleet.nodes[1].leave(1)?;
    fleet.exact(&Promise::begin(format!("{what}: exact"), SOON))?;
    for node in &fleet.nodes {
        assert!(node.node.log().iter().all(|line| !line.contains(PASSWORD)), "the log contains the password");
    }
    if let (Some(url), true) = (&options.redis, options.environment.is_empty()) {
        assert_eq!(status::counters(url)[0].count, fleet.truth());
    }
    store::holds_only(redis, &fleet)?;
    fleet::leave_nothing(fleet, &[redis])
}

/// The user may touch the keys and channels of the prefix only, and nothing that is dangerous.
pub(crate) fn a_redis_with_users() -> anyhow::Result<()> {
    let user = ["--user", "alice", "on", ">s3cret", "~hc:*", "&hc:*", "+@all", "-@admin", "-@dangerous"];
    let redis = RedisServer::start_with(&user).unwrap();
    let url = redis.url().replace("127.", "alice:s3cret@127.");
    nodes_agree("a user with a password and few rights", &NodeOptions::redis(url), &redis)?;
    let wrong = redis.url().replace("127.", "alice:s3cretary@127.");
    is_never_ready(&NodeOptions::redis(wrong), "authentication failed");
    Ok(())
}

pub(crate) fn a_redis_with_a_password() -> anyhow::Result<()> {
    let redis = RedisServer::start().unwrap();
    let url = redis.url().replace("127.", ":s3cret@127.");
    redis.command(&["CONFIG", "SET", "requirepass", PASSWORD]).unwrap();
    is_never_ready(&NodeOptions::redis(redis.url()), "NOAUTH");
    let options = NodeOptions::redis(url);
    let mut fleet = Fleet::start(&binary(options), &[3, 4])?;
    fleet.nodes[0].join(2)?;
    fleet.nodes[1].leave(1)?;
    fleet.exact(&Promise::begin("a Redis with a password: exact", SOON))?;
    Ok(())
}

pub(crate) fn a_redis_behind_a_unix_socket() -> anyhow::Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let redis = RedisServer::start_with(&["--unixsocket", socket.to_str().unwrap()]).unwrap();
    let options = NodeOptions::redis(format!("redis+unix://{}", socket.display()));
    nodes_agree("a Redis behind a Unix socket", &options, &redis)?;
    Ok(())
}

/// The authority is the site's own: nodes trust it by `SSL_CERT_FILE`, and do not trust it without.
pub(crate) fn a_redis_that_speaks_tls() -> anyhow::Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    certify(directory.path());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (authority, certificate, key) = (file("authority.pem"), file("redis.pem"), file("redis.key"));
    let tls = ["--tls-port", &port.to_string(), "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let clients = ["--tls-ca-cert-file", &authority, "--tls-auth-clients", "no"];
    let redis = RedisServer::start_with(&[&tls[..], &clients].concat()).unwrap();
    let stranger = NodeOptions::redis(format!("rediss://127.0.0.1:{port}/"));
    let mut friend = stranger.clone();
    friend.environment.push(("SSL_CERT_FILE".into(), authority));
    nodes_agree("a Redis that speaks TLS", &friend, &redis)?;
    is_never_ready(&stranger, "certificate");
    Ok(())
}

/// Makes an authority, and a certificate for 127.0.0.1.
fn certify(directory: &Path) {
    let common = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    let authority = "-subj /CN=authority -keyout authority.key -out authority.pem";
    let server = "-subj /CN=redis -keyout redis.key -out redis.pem -CA authority.pem -CAkey authority.key \
                  -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    for own in [authority, server] {
        let output = Command::new("openssl")
            .args(common.split(' ').chain(own.split(' ')))
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A node that Redis rejects serves viewers, is not ready, and logs the reason.
fn is_never_ready(options: &NodeOptions, why: &str) {
    let node = start(options.clone());
    node.logs(why, PATIENCE).unwrap();
    is_unready(&node);
    assert!(node.log().iter().all(|line| !line.contains("s3cret")), "the log tells the password");
}

fn is_unready(node: &Node) {
    let ready = http::get(node.admin(), "/readyz").unwrap();
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(http::get(node.admin(), "/healthz").unwrap().status, 200);
}
