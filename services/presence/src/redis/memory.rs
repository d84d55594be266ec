//! Watches Redis's memory: whether it may evict keys, and how much of its limit is free.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::sleep;

use super::command_connection::CommandConnection;
use crate::metrics::Metrics;

/// Interval of the checks.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// The time between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Below this part of free memory a warning is logged: a tenth leaves time to act.
const LOW: f64 = 0.1;

/// What Redis says of its memory; of a cluster, the worst of its servers.
#[derive(Debug, Clone, PartialEq)]
struct Memory {
    /// The first eviction policy that is not `noeviction`.
    evicting_policy: Option<String>,
    /// The part of the limit that is free; 1 without a limit.
    free: f64,
}

/// Checks at every connection and every minute, until cancelled. Logs a warning when a problem begins or differs.
pub(super) async fn run(commands: Arc<CommandConnection>, metrics: Metrics) {
    let mut warned = (None, false);
    loop {
        commands.connected().await;
        let Ok(value) = commands.query(redis::cmd("INFO").arg("memory")).await else {
            sleep(RETRY).await;
            continue;
        };
        let Memory { evicting_policy, free } = Memory::parse(&texts(&value));
        metrics.redis_evicts.set(i64::from(evicting_policy.is_some()));
        metrics.redis_memory_free.set(free);
        let found = (evicting_policy, free < LOW);
        if let Some(policy) = found.0.as_ref().filter(|_| found.0 != warned.0) {
            tracing::warn!(policy, "Redis may evict keys: set maxmemory-policy noeviction");
        }
        if found.1 && !warned.1 {
            tracing::warn!(free, "Redis is nearly full: raise maxmemory");
        }
        warned = found;
        tokio::select! {
            () = sleep(CHECK_EVERY) => {}
            () = commands.replaced() => {}
        }
    }
}

impl Memory {
    /// Parses the `memory` sections of INFO. A server that does not tell counts as one without a limit.
    fn parse(sections: &[String]) -> Memory {
        let field = |section: &str, name: &str| {
            section.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
        };
        let mut memory = Memory { evicting_policy: None, free: 1.0 };
        for section in sections {
            let number = |name| field(section, name).and_then(|value| value.parse::<f64>().ok());
            if let Some((limit, used)) = number("maxmemory").filter(|limit| *limit > 0.0).zip(number("used_memory")) {
                memory.free = memory.free.min(1.0 - used / limit).max(0.0);
            }
            let policy = field(section, "maxmemory_policy").filter(|policy| policy != "noeviction");
            memory.evicting_policy = memory.evicting_policy.or(policy);
        }
        memory
    }
}

/// The texts in a reply: one server's, or those of all servers of a cluster.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::BulkString(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Map(pairs) => pairs.iter().flat_map(|(_, value)| texts(value)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(limit: u64, used: u64, policy: &str) -> String {
        format!("# Memory\r\nused_memory:{used}\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\n")
    }

    #[test]
    fn the_worst_server_of_a_cluster_decides() {
        let sections =
            [section(0, 500, "noeviction"), section(1000, 950, "noeviction"), section(1000, 0, "allkeys-lru")];
        let memory = Memory::parse(&sections);
        assert_eq!(memory.evicting_policy.as_deref(), Some("allkeys-lru"));
        assert!((memory.free - 0.05).abs() < 1e-9, "{memory:?}");
    }

    #[test]
    fn without_a_limit_all_is_free() {
        let unlimited = Memory { evicting_policy: None, free: 1.0 };
        assert_eq!(Memory::parse(&[section(0, 500, "noeviction")]), unlimited);
        assert_eq!(Memory::parse(&["# Memory\r\n".to_owned()]), unlimited);
    }
}
