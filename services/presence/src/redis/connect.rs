//! Opens connections to a server, to the master that Sentinel names, or to a cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use rand::seq::SliceRandom;
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisFuture};

use super::url::{Login, RedisUrl, Topology};

/// How long opening a connection may take, including the first command.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The operating system ends a connection when written data is not acknowledged for this long (`TCP_USER_TIMEOUT`).
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Redirections of a moved slot that the cluster client follows before the call fails.
const CLUSTER_RETRIES: u32 = 3;

/// Why a connection cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Redis refused the connection, or cannot be reached.
    #[error("{0}")]
    Redis(#[from] redis::RedisError),
    /// No reply in time.
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    /// No sentinel that replied knows a master of this name.
    #[error("no sentinel names a master of {0:?}")]
    NoMaster(String),
    /// The master that the sentinels name reports that it is a replica: a failover is in progress.
    #[error("{0} is no master yet")]
    NotMaster(String),
}

/// A connection for commands. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    One {
        /// The connection.
        connection: MultiplexedConnection,
        /// The server's address.
        server: ConnectionAddr,
    },
    /// To the masters of a cluster.
    Cluster(ClusterConnection),
}

impl Connection {
    /// Opens a connection, and checks that the server answers commands.
    pub(super) async fn open(url: &RedisUrl, response_timeout: Duration) -> Result<Connection, ConnectError> {
        install_tls(url);
        match &url.topology {
            Topology::Cluster(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(with_tcp_settings).collect();
                let client = ClusterClientBuilder::new(nodes)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(response_timeout)
                    .retries(CLUSTER_RETRIES)
                    .tcp_settings(tcp_settings())
                    .build()?;
                Ok(Connection::Cluster(in_time(client.get_async_connection()).await?))
            }
            Topology::One(server) => {
                Ok(Connection::One { connection: open_one(server).await?, server: server.addr().clone() })
            }
            Topology::Sentinel { .. } => {
                let master = master(url, &SentinelConnections::default()).await?;
                let mut connection = open_one(&master).await?;
                let role: Vec<redis::Value> = in_time(redis::cmd("ROLE").query_async(&mut connection)).await?;
                // The other fields differ by role.
                let is_master = matches!(role.first(), Some(redis::Value::BulkString(role)) if role == b"master");
                if !is_master {
                    return Err(ConnectError::NotMaster(master.addr().to_string()));
                }
                Ok(Connection::One { connection, server: master.addr().clone() })
            }
        }
    }
}

impl Connection {
    /// The server's address. `None` for a cluster.
    pub(super) fn server(&self) -> Option<&ConnectionAddr> {
        match self {
            Connection::One { server, .. } => Some(server),
            Connection::Cluster(_) => None,
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, redis::Value> {
        match self {
            Connection::One { connection, .. } => connection.req_packed_command(cmd),
            Connection::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<redis::Value>> {
        match self {
            Connection::One { connection, .. } => connection.req_packed_commands(cmd, offset, count),
            Connection::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Connection::One { connection, .. } => connection.get_db(),
            Connection::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Opens a connection for messages. In a cluster any node serves: it delivers messages that are published on any other.
pub(super) async fn open_subscriber(url: &RedisUrl) -> Result<PubSub, ConnectError> {
    install_tls(url);
    let mut candidates = match &url.topology {
        Topology::One(server) => vec![ConnectionInfo::clone(server)],
        Topology::Sentinel { .. } => vec![master(url, &SentinelConnections::default()).await?],
        Topology::Cluster(nodes) => nodes.clone(),
    };
    // A node that is cut off from the cluster accepts subscriptions and delivers nothing, so not always the same one.
    candidates.shuffle(&mut rand::rng());
    let mut last = ConnectError::Timeout;
    for candidate in candidates {
        match in_time(Client::open(with_tcp_settings(&candidate))?.get_async_pubsub()).await {
            Ok(subscriber) => return Ok(subscriber),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Opens a connection to every server that holds counters, to read all keys.
pub(super) async fn open_masters(url: &RedisUrl) -> Result<Vec<MultiplexedConnection>, ConnectError> {
    install_tls(url);
    let Topology::Cluster(nodes) = &url.topology else {
        let server = match &url.topology {
            Topology::One(server) => ConnectionInfo::clone(server),
            _ => master(url, &SentinelConnections::default()).await?,
        };
        return Ok(vec![open_one(&server).await?]);
    };
    let mut last = ConnectError::Timeout;
    for node in nodes {
        let slots = async {
            let mut connection = open_one(node).await?;
            in_time(redis::cmd("CLUSTER").arg("SLOTS").query_async::<Vec<Vec<redis::Value>>>(&mut connection)).await
        };
        match slots.await {
            Ok(slots) => return open_all(node, &slots).await,
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open_all(
    node: &ConnectionInfo,
    slots: &[Vec<redis::Value>],
) -> Result<Vec<MultiplexedConnection>, ConnectError> {
    let own_host = match node.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    };
    let mut addresses: Vec<(String, u16)> = Vec::new();
    // Each range is [first slot, last slot, [host, port, …] of the master, its replicas …].
    for master in slots.iter().filter_map(|range| range.get(2)) {
        let Some((host, port)) = host_and_port(master) else { continue };
        // A node that does not know its own host leaves it empty: then it is the host of this connection.
        let address = (host.unwrap_or_else(|| own_host.clone()), port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let login =
        Login { settings: node.redis_settings().clone(), tls: matches!(node.addr(), ConnectionAddr::TcpTls { .. }) };
    let mut connections = Vec::new();
    for (host, port) in addresses {
        connections.push(open_one(&login.at(host, port)?).await?);
    }
    Ok(connections)
}

fn host_and_port(master: &redis::Value) -> Option<(Option<String>, u16)> {
    let redis::Value::Array(fields) = master else { return None };
    let host: Option<String> = redis::from_redis_value_ref(fields.first()?).ok()?;
    let port = redis::from_redis_value_ref(fields.get(1)?).ok()?;
    Some((host.filter(|host| !host.is_empty()), port))
}

/// Connections to sentinels, by their address: one that is asked again and again is not connected to each time.
#[derive(Clone, Default)]
pub(super) struct SentinelConnections(Arc<Mutex<HashMap<String, MultiplexedConnection>>>);

impl SentinelConnections {
    /// The master that a sentinel names.
    async fn named_master(
        &self,
        sentinel: &ConnectionInfo,
        service: &str,
    ) -> Result<Option<(String, u16)>, ConnectError> {
        let known = self.0.lock().get(&sentinel.addr().to_string()).cloned();
        let mut connection = match known {
            Some(connection) => connection,
            None => self.open(sentinel).await?,
        };
        let mut command = redis::cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg(service);
        let named = in_time(command.query_async(&mut connection)).await;
        if named.is_err() {
            self.0.lock().remove(&sentinel.addr().to_string());
        }
        named
    }

    /// Opens a connection, in a task of its own: others may answer first, and nobody waits for this one then.
    async fn open(&self, sentinel: &ConnectionInfo) -> Result<MultiplexedConnection, ConnectError> {
        let (connections, sentinel) = (self.clone(), sentinel.clone());
        let opening = tokio::spawn(async move {
            let connection = open_one(&sentinel).await?;
            connections.0.lock().insert(sentinel.addr().to_string(), connection.clone());
            Ok(connection)
        });
        opening.await.unwrap_or(Err(ConnectError::Timeout))
    }
}

/// Returns the master that most sentinels name: one that is cut off may still name the former. Waits for no more of them
/// than decide it, because some may be on the machine that has just died. Fails for other topologies.
pub(super) async fn master(url: &RedisUrl, known: &SentinelConnections) -> Result<ConnectionInfo, ConnectError> {
    let Topology::Sentinel { sentinels, service, master } = &url.topology else {
        return Err(ConnectError::NoMaster(url.to_string()));
    };
    let mut votes: Vec<((String, u16), usize)> = Vec::new();
    let mut last = ConnectError::NoMaster(service.clone());
    let mut replies: FuturesUnordered<_> =
        sentinels.iter().map(|sentinel| known.named_master(sentinel, service)).collect();
    while let Some(reply) = replies.next().await {
        match reply {
            Ok(Some(named)) => {
                let agreed = match votes.iter_mut().find(|(other, _)| *other == named) {
                    Some((_, votes)) => {
                        *votes += 1;
                        *votes
                    }
                    None => {
                        votes.push((named, 1));
                        1
                    }
                };
                if agreed > sentinels.len() / 2 {
                    break;
                }
            }
            Ok(None) => {}
            Err(error) => last = error,
        }
    }
    match votes.into_iter().max_by_key(|(_, votes)| *votes) {
        Some(((host, port), _)) => master.at(host, port),
        None => Err(last),
    }
}

impl Login {
    fn at(&self, host: String, port: u16) -> Result<ConnectionInfo, ConnectError> {
        let address = match self.tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        Ok(address.into_connection_info()?.set_redis_settings(self.settings.clone()))
    }
}

async fn open_one(server: &ConnectionInfo) -> Result<MultiplexedConnection, ConnectError> {
    // The caller has its own response timeout: it must tell a slow reply from a broken connection.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let client = Client::open(with_tcp_settings(server))?;
    in_time(async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // A server that is loading its data accepts connections and refuses commands.
        redis::cmd("PING").exec_async(&mut connection).await?;
        Ok(connection)
    })
    .await
}

async fn in_time<T>(opening: impl Future<Output = redis::RedisResult<T>>) -> Result<T, ConnectError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(ConnectError::Timeout),
    }
}

fn with_tcp_settings(server: &ConnectionInfo) -> ConnectionInfo {
    server.clone().set_tcp_settings(tcp_settings())
}

/// Detects a peer that has vanished, whether data is being written or not.
fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(USER_TIMEOUT).with_interval(Duration::from_secs(1)).with_retries(3);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive).set_user_timeout(USER_TIMEOUT)
}

/// Selects the cryptography provider of rustls, unless the process has selected one already.
fn install_tls(url: &RedisUrl) {
    if url.uses_tls() {
        let _selected_before = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use headcount_testkit::Sentinels;

    use super::*;

    #[tokio::test]
    async fn a_sentinel_that_is_silent_delays_nobody() {
        let redis = Sentinels::start().unwrap();
        // Accepts connections and says nothing, like one whose machine has died.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let all = redis.url().replacen("://", &format!("://{},", silent.local_addr().unwrap()), 1);
        let (url, known) = (RedisUrl::parse(&all).unwrap(), SentinelConnections::default());
        let started = Instant::now();
        let named = master(&url, &known).await.unwrap();
        assert!(started.elapsed() < CONNECT_TIMEOUT / 2, "{:?}", started.elapsed());
        assert_eq!(named.addr().to_string(), redis.master().address().to_string());
    }

    #[tokio::test]
    async fn a_sentinel_that_is_asked_again_is_not_connected_to_again() {
        let redis = Sentinels::start().unwrap();
        let (url, known) = (RedisUrl::parse(&redis.url()).unwrap(), SentinelConnections::default());
        let Topology::Sentinel { sentinels, .. } = &url.topology else { panic!("{url}") };
        let mut accepted = Vec::new();
        for _ in 0..20 {
            master(&url, &known).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            let ConnectionAddr::Tcp(host, port) = sentinels[0].addr() else { panic!("{:?}", sentinels[0]) };
            let address = format!("{host}:{port}").parse().unwrap();
            let info: String = headcount_testkit::query(address, &["INFO", "stats"]).unwrap();
            let field = info.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
            accepted.push(field.trim().parse::<u64>().unwrap());
        }
        // Each INFO has a connection, and a sentinel that others know has theirs.
        let grown = accepted[19] - accepted[4];
        assert!(grown < 15 + 5, "{accepted:?}");
    }
}
