//! What is in Redis, and what should be.

use std::time::Duration;

use headcount_testkit::{COUNTER, Fleet, RedisServer, wait_until};

/// The key of visitors' hashes.
pub(crate) const VISITOR_KEY: &str = "hc:visitor-key";

/// The keys that belong to no counter or address.
const OF_ALL_NODES: [&str; 3] = [VISITOR_KEY, "hc:data-id", "hc:nodes"];

/// What the key of a counter's history ends with: it outlives the counter.
pub(crate) const HISTORY: &str = ":history";

/// What the keys of client addresses begin with.
const ADDRESSES: &str = "hc:address:";

/// Time until ended sessions are removed from Redis: an unused session ends with its lease, 9 s.
const CLEARED: Duration = Duration::from_secs(15);

/// A counter's state stays for 12 s after its last viewer, for nodes that still show it.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// The longest life of a key that is not renewed: 5 minutes, in milliseconds.
const LONGEST_LIFE: i64 = 300_000;

/// Waits until Redis holds what the fleet's nodes have registered, all of it and nothing else.
pub(crate) fn holds_only(redis: &RedisServer, fleet: &Fleet) -> anyhow::Result<()> {
    holds_besides_addresses(redis, fleet)?;
    assert_eq!(addresses(redis), Ok(Vec::new()), "viewers from loopback leave nothing of their address");
    Ok(())
}

/// The keys of client addresses.
pub(crate) fn addresses(redis: &RedisServer) -> Result<Vec<String>, String> {
    let mut keys = redis.keys().map_err(|error| error.to_string())?;
    keys.retain(|key| key.starts_with(ADDRESSES));
    Ok(keys)
}

/// The same where viewers come from public addresses.
pub(crate) fn holds_besides_addresses(redis: &RedisServer, fleet: &Fleet) -> anyhow::Result<()> {
    let registered = || -> Result<(), String> {
        let found = Stored::of(redis)?;
        let mut nodes =
            fleet.nodes.iter().filter(|node| node.open > 0).map(|node| node.open as i64).collect::<Vec<_>>();
        nodes.sort_unstable();
        let due = Stored {
            others: ["state", "sessions", "visitors"].map(|key| format!("hc:{{{COUNTER}}}:{key}")).to_vec(),
            leases: nodes.len() as i64,
            viewers: nodes,
            visits: fleet.truth() as i64,
        };
        if found == due { Ok(()) } else { Err(format!("{found:?} instead of {due:?}")) }
    };
    wait_until("Redis holding the open connections and nothing else", CLEARED, registered)?;
    Ok(())
}

/// Waits until nothing is left but histories, and what belongs to all nodes: the visitors' key lives for a day, the id of the data for
/// minutes.
pub(crate) fn is_empty(redis: &RedisServer) -> anyhow::Result<()> {
    let empty = || -> Result<(), String> {
        let keys = redis.keys().map_err(|error| error.to_string())?;
        let stays = |key: &str| OF_ALL_NODES.contains(&key) || key.ends_with(HISTORY);
        if keys.iter().all(|key| stays(key)) { Ok(()) } else { Err(format!("{keys:?}")) }
    };
    wait_until("an empty Redis", FORGOTTEN, empty)?;
    // A history that has lost its life has one again with its next step.
    for key in redis.keys().unwrap().iter().filter(|key| !key.ends_with(HISTORY)) {
        assert!((1..=86_400_000).contains(&number(redis, &["PTTL", key]).unwrap()), "{key} stays for ever");
    }
    Ok(())
}

/// Checks that every key in Redis expires within five minutes, except the visitor key and histories.
pub(crate) fn will_be_empty(redis: &RedisServer) {
    let keys = redis.keys().unwrap();
    for key in keys.iter().filter(|key| *key != VISITOR_KEY && !key.ends_with(HISTORY)) {
        // One that has gone since is no better than gone.
        let left = number(redis, &["PTTL", key]).unwrap();
        assert!(left == -2 || (1..=LONGEST_LIFE).contains(&left), "{key} stays for {left} ms");
    }
}

/// What Redis holds of the counter.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    /// How many viewers each session has registered.
    viewers: Vec<i64>,
    /// Living leases.
    leases: i64,
    /// Registrations, by those who count the visitors.
    visits: i64,
    /// The other keys.
    others: Vec<String>,
}

impl Stored {
    fn of(redis: &RedisServer) -> Result<Self, String> {
        let (mut viewers, mut others) = (Vec::new(), Vec::new());
        for key in redis.keys().map_err(|error| error.to_string())? {
            if key.contains(":viewers:") {
                viewers.push(number(redis, &["HLEN", &key])?);
            } else if !OF_ALL_NODES.contains(&key.as_str()) && !key.starts_with(ADDRESSES) && !key.ends_with(HISTORY) {
                others.push(key);
            }
        }
        viewers.sort_unstable();
        // In the order of the table in keys.rs, which is not the alphabet's.
        others.sort_by_key(|key| (!key.ends_with(":state"), key.clone()));
        let leases = number(redis, &["ZCARD", &format!("hc:{{{COUNTER}}}:sessions")])?;
        let visits = redis.query::<Vec<i64>>(&["HVALS", &format!("hc:{{{COUNTER}}}:visitors")]);
        let visits = visits.map_err(|error| error.to_string())?.iter().sum();
        Ok(Self { viewers, leases, visits, others })
    }
}

fn number(redis: &RedisServer, command: &[&str]) -> Result<i64, String> {
    redis.query(command).map_err(|error| error.to_string())
}
