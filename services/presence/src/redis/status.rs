//! Reads all nodes and counters from Redis, for the operator.

use std::time::{Duration, SystemTime};

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncIter, ErrorKind, RedisError, ScanOptions, ServerErrorKind, Value};

use super::connect::{self, ConnectError};
use super::keys::Prefix;
use super::url::RedisUrl;
use crate::CounterName;
use crate::status::{CounterStatus, NodeStatus, SessionStatus, Status};

/// Keys that Redis looks at in one call: some 100 µs of its time, and few calls where there are many addresses.
const SCANNED_AT_ONCE: usize = 1_000;

/// Counters that are read in one round trip.
const READ_AT_ONCE: usize = 100;

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

/// Reads from all masters.
pub(crate) async fn read(url: &RedisUrl, prefix: &str) -> Result<Status, StatusError> {
    let prefix = Prefix(prefix.to_owned());
    let (mut nodes, mut counters) = (Vec::new(), Vec::new());
    for mut connection in connect::open_masters(url).await? {
        match read_nodes(&mut connection, &prefix).await {
            Ok(read) => nodes.extend(read),
            // The list is at another master of the cluster.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {}
            Err(error) => return Err(error.into()),
        }
        for names in names(&mut connection, &prefix).await?.chunks(READ_AT_ONCE) {
            counters.extend(read_counters(&mut connection, &prefix, names).await?);
        }
    }
    Ok(Status::new(nodes, counters))
}

async fn read_nodes(connection: &mut MultiplexedConnection, prefix: &Prefix) -> Result<Vec<NodeStatus>, RedisError> {
    let ((seconds, microseconds), list): ((u64, u64), Vec<(String, String)>) =
        redis::pipe().cmd("TIME").hgetall(prefix.nodes()).query_async(connection).await?;
    let now = Duration::from_secs(seconds) + Duration::from_micros(microseconds);
    Ok(list.into_iter().filter_map(|(node, said)| parse_node(node, &said, now)).collect())
}

/// Parses what a node has said of itself. `None` if it has another form.
fn parse_node(node: String, said: &str, now: Duration) -> Option<NodeStatus> {
    let mut parts = said.splitn(4, ' ');
    let mut time = || parts.next()?.parse().ok().map(Duration::from_millis);
    let (reported, started) = (time()?, time()?);
    Some(NodeStatus {
        node,
        version: Some(parts.next()?.to_owned()),
        address: Some(parts.next()?.to_owned()),
        viewers: 0,
        since: SystemTime::UNIX_EPOCH.checked_add(started),
        reported: Some(now.saturating_sub(reported)),
    })
}

async fn names(connection: &mut MultiplexedConnection, prefix: &Prefix) -> Result<Vec<CounterName>, RedisError> {
    let options = ScanOptions::default().with_pattern(prefix.states()).with_count(SCANNED_AT_ONCE);
    let mut keys: AsyncIter<'_, String> = connection.scan_options(options).await?;
    let mut names = Vec::new();
    while let Some(key) = keys.next_item().await {
        // Another program may have keys of the same form.
        names.extend(prefix.counter_of_state(&key?).and_then(|name| CounterName::parse(name).ok()));
    }
    names.sort();
    names.dedup(); // SCAN may return a key twice
    Ok(names)
}

async fn read_counters(
    connection: &mut MultiplexedConnection,
    prefix: &Prefix,
    names: &[CounterName],
) -> Result<Vec<CounterStatus>, RedisError> {
    let (mut pipe, mut counters) = (redis::pipe(), Vec::new());
    let (seconds, microseconds): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
    for name in names {
        let keys = prefix.counter(name);
        pipe.hgetall(&keys.state).zrange_withscores(&keys.sessions, 0, -1);
    }
    let replies: Vec<Value> = pipe.query_async(connection).await?;
    let now = Duration::from_secs(seconds) + Duration::from_micros(microseconds);
    for (name, reply) in names.iter().zip(replies.chunks_exact(2)) {
        let fields: Vec<(String, String)> = redis::from_redis_value_ref(&reply[0])?;
        let leases: Vec<(String, f64)> = redis::from_redis_value_ref(&reply[1])?;
        counters.extend(parse_counter(name, &fields, &leases, now));
    }
    Ok(counters)
}

/// Parses a counter's state and sessions. `None` if it was removed after the scan.
fn parse_counter(
    name: &CounterName,
    fields: &[(String, String)],
    leases: &[(String, f64)],
    now: Duration,
) -> Option<CounterStatus> {
    let field = |wanted: &str| fields.iter().find(|(field, _)| field == wanted).map(|(_, value)| value.as_str());
    let number = |wanted: &str| field(wanted).and_then(|value| value.parse::<u64>().ok());
    let epoch = number("epoch")?;
    let session = |(id, ends): &(String, f64)| {
        let mut parts = field(&format!("s:{id}")).unwrap_or_default().split(' ');
        SessionStatus {
            node: id.split('-').next().unwrap_or_default().to_owned(),
            viewers: parts.nth(1).and_then(|size| size.parse().ok()).unwrap_or(0),
            lease_left: Some(Duration::from_millis(ends.max(0.0) as u64).saturating_sub(now)),
            registering: parts.next() == Some("building"),
        }
    };
    Some(CounterStatus {
        name: name.to_string(),
        count: number("count").unwrap_or(0),
        visitors: number("visitors").unwrap_or(0),
        epoch,
        version: number("version").unwrap_or(0),
        sessions: leases.iter().map(session).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_parsed_by_rediss_clock() {
        let node = parse_node("n".to_owned(), "5000 2000 0.1.0 host:8080", Duration::from_millis(6_500)).unwrap();
        assert_eq!(node.reported, Some(Duration::from_millis(1_500)));
        assert_eq!(node.since, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(2)));
        assert_eq!((node.version.as_deref(), node.address.as_deref()), (Some("0.1.0"), Some("host:8080")));
        for wrong in ["", "5000", "x 2000 0.1.0 host:8080", "5000 2000 0.1.0"] {
            assert_eq!(parse_node("n".to_owned(), wrong, Duration::ZERO), None, "{wrong}");
        }
    }
}
