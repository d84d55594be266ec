//! Reads all counters from Redis, for the operator.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncIter, RedisError};

use super::connect::{self, ConnectError};
use super::keys::Prefix;
use super::url::RedisUrl;
use crate::CounterName;

/// All counters of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Every counter that Redis knows, sorted by name.
    pub counters: Vec<CounterStatus>,
}

/// One counter in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterStatus {
    /// Its name.
    pub name: String,
    /// Viewers, as published.
    pub count: u64,
    /// Distinct visitors, as published.
    pub visitors: u64,
    /// The epoch of the published state.
    pub epoch: u64,
    /// The version of the published state.
    pub version: u64,
    /// The sessions of nodes at this counter.
    pub sessions: Vec<SessionStatus>,
}

/// The session of one node at a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    /// The node's random id.
    pub node: String,
    /// Its viewers of this counter.
    pub viewers: u64,
    /// What is left of the lease.
    pub lease_left: Duration,
    /// The node is still registering its viewers: they do not count yet.
    pub registering: bool,
}

/// Why the status cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Redis cannot be reached.
    #[error("cannot reach Redis: {0}")]
    Connect(#[from] ConnectError),
    /// Redis refused a command.
    #[error("Redis does not tell: {0}")]
    Redis(#[from] RedisError),
}

impl Status {
    /// Reads from all masters.
    pub(crate) async fn read(url: &RedisUrl, prefix: &str) -> Result<Status, StatusError> {
        let prefix = Prefix(prefix.to_owned());
        let mut counters = Vec::new();
        for mut connection in connect::open_masters(url).await? {
            for name in names(&mut connection, &prefix).await? {
                counters.extend(read_counter(&mut connection, &prefix, &name).await?);
            }
        }
        counters.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Status { counters })
    }
}

async fn names(connection: &mut MultiplexedConnection, prefix: &Prefix) -> Result<Vec<CounterName>, RedisError> {
    let mut keys: AsyncIter<'_, String> = connection.scan_match(prefix.states()).await?;
    let mut names = Vec::new();
    while let Some(key) = keys.next_item().await {
        // Another program may have keys of the same form.
        names.extend(prefix.counter_of_state(&key?).and_then(|name| CounterName::parse(name).ok()));
    }
    names.sort();
    names.dedup(); // SCAN may return a key twice
    Ok(names)
}

async fn read_counter(
    connection: &mut MultiplexedConnection,
    prefix: &Prefix,
    name: &CounterName,
) -> Result<Option<CounterStatus>, RedisError> {
    let keys = prefix.counter(name);
    type Replies = ((u64, u64), Vec<(String, String)>, Vec<(String, f64)>);
    let ((seconds, microseconds), fields, leases): Replies = redis::pipe()
        .cmd("TIME")
        .hgetall(&keys.state)
        .zrange_withscores(&keys.sessions, 0, -1)
        .query_async(connection)
        .await?;
    let now = Duration::from_secs(seconds) + Duration::from_micros(microseconds);
    let field = |wanted: &str| fields.iter().find(|(field, _)| field == wanted).map(|(_, value)| value.as_str());
    let number = |wanted: &str| field(wanted).and_then(|value| value.parse::<u64>().ok());
    // The counter was removed after the scan.
    let Some(epoch) = number("epoch") else { return Ok(None) };
    let session = |(id, ends): &(String, f64)| {
        let mut parts = field(&format!("s:{id}")).unwrap_or_default().split(' ');
        SessionStatus {
            node: id.split('-').next().unwrap_or_default().to_owned(),
            viewers: parts.nth(1).and_then(|size| size.parse().ok()).unwrap_or(0),
            lease_left: Duration::from_millis(ends.max(0.0) as u64).saturating_sub(now),
            registering: parts.next() == Some("building"),
        }
    };
    Ok(Some(CounterStatus {
        name: name.to_string(),
        count: number("count").unwrap_or(0),
        visitors: number("visitors").unwrap_or(0),
        epoch,
        version: number("version").unwrap_or(0),
        sessions: leases.iter().map(session).collect(),
    }))
}
