//! Wherever Redis is: behind a Unix socket, behind Sentinel, in a cluster.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headcount_presence::{Presence, RedisUrl};

use crate::server::Server;
use crate::shared::{Node, SOON, all_show};

async fn nodes_agree_at(url: &str) {
    let (mut one, mut two) = (Node::start(url), Node::start(url));
    one.join(0, 3).await;
    two.join(1, 4).await;
    all_show(&[&one, &two], 7, SOON * 2).await;
    one.registrations.clear();
    all_show(&[&one, &two], 4, SOON).await;
    let status = Presence::status(&RedisUrl::parse(url).unwrap(), "hc:").await.unwrap();
    assert_eq!(status.counters[0].count, 4);
}

#[tokio::test]
async fn a_unix_socket() {
    let server = Server::start();
    nodes_agree_at(&format!("redis+unix://{}", server.socket().display())).await;
}

#[tokio::test]
async fn a_user_with_a_password() {
    let server = Server::start();
    let mut connection = server.connection();
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("s3cret").exec(&mut connection).unwrap();
    nodes_agree_at(&server.url().replace("redis://", "redis://:s3cret@")).await;
}

#[tokio::test]
async fn a_cluster() {
    let server = Server::start_with(&["--cluster-enabled", "yes"]);
    let mut connection = server.connection();
    redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).exec(&mut connection).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut connection).unwrap();
        if info.contains("cluster_state:ok") {
            break;
        }
        assert!(Instant::now() < deadline, "{info}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    nodes_agree_at(&format!("redis+cluster://127.0.0.1:{}", server.port())).await;
}

/// A sentinel that watches one master.
struct Sentinel {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Sentinel {
    fn start(master: u16) -> Sentinel {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let text = format!("port {port}\nbind 127.0.0.1\nsentinel monitor people 127.0.0.1 {master} 1\n");
        std::fs::write(&file, text).unwrap();
        let process = Command::new("redis-sentinel").arg(&file).stdout(Stdio::null()).spawn().unwrap();
        Sentinel { process, port, _directory: directory }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _already_dead = self.process.kill();
        let _already_waited_for = self.process.wait();
    }
}

#[tokio::test]
async fn the_master_that_sentinel_names() {
    let server = Server::start();
    let sentinel = Sentinel::start(server.port());
    // The first sentinel of the list does not answer: the next one is asked.
    nodes_agree_at(&format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/people", sentinel.port)).await;
}
