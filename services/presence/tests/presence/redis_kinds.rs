//! The kinds of Redis: behind a Unix socket, behind Sentinel, in a cluster.

use headcount_presence::{Presence, RedisUrl};
use headcount_testkit::{RedisCluster, RedisServer, Sentinels};

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
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let _server = RedisServer::start_with(&["--unixsocket", socket.to_str().unwrap()]).unwrap();
    nodes_agree_at(&format!("redis+unix://{}", socket.display())).await;
}

#[tokio::test]
async fn a_user_with_a_password() {
    let server = RedisServer::start().unwrap();
    server.command(&["CONFIG", "SET", "requirepass", "s3cret"]).unwrap();
    nodes_agree_at(&server.url().replace("redis://", "redis://:s3cret@")).await;
}

#[tokio::test]
async fn a_cluster() {
    let cluster = RedisCluster::start().unwrap();
    nodes_agree_at(&cluster.url()).await;
}

#[tokio::test]
async fn the_master_that_sentinel_names() {
    let sentinels = Sentinels::start().unwrap();
    // The first sentinel of the list does not answer, so the next one is asked.
    nodes_agree_at(&sentinels.url().replace("sentinel://", "sentinel://127.0.0.1:1,")).await;
}
