//! What this node tells operators of itself: its version, its address, and since when it runs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use headcount_presence::NodeDescription;
use rustix::time::{ClockId, clock_gettime};

/// The field of `/proc/self/stat` that says when the process was started, counted behind the name (proc(5): field 22, and the
/// name is field 2).
const START_TIME: usize = 19;

/// Describes the node that listens at this address.
pub(crate) fn describe(listen: SocketAddr) -> NodeDescription {
    let address = match listen.ip().is_unspecified() {
        // Which of the machine's addresses leads here is not known; its name is. In a container that is the container's id.
        true => format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), listen.port()),
        false => listen.to_string(),
    };
    let now = Instant::now();
    let started = age().and_then(|age| now.checked_sub(age)).unwrap_or(now);
    NodeDescription { version: env!("CARGO_PKG_VERSION").to_owned(), address, started }
}

/// How long ago the process was started. A reload does not change it. `None` where `/proc` does not tell.
fn age() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let start = start_ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64;
    let now = Duration::try_from(clock_gettime(ClockId::Boottime)).ok()?;
    Some(now.saturating_sub(Duration::from_secs_f64(start)))
}

/// When a process was started, in ticks since the machine was.
fn start_ticks(stat: &str) -> Option<u64> {
    // The name is in parentheses, and may have spaces and parentheses itself.
    let (_, behind_the_name) = stat.rsplit_once(") ")?;
    behind_the_name.split(' ').nth(START_TIME)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_when_it_was_started() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 123456 1000 50 18446744073709551615";
        assert_eq!(start_ticks(stat), Some(123_456));
        assert!(age().is_some_and(|age| age < Duration::from_secs(3_600)), "{:?}", age());
    }

    #[test]
    fn an_unspecified_address_becomes_the_machines_name() {
        assert_eq!(describe("10.1.2.3:80".parse().unwrap()).address, "10.1.2.3:80");
        let named = describe("[::]:8080".parse().unwrap()).address;
        assert!(named.ends_with(":8080") && !named.contains("::"), "{named}");
        assert!(!named.contains(' '), "{named}");
    }
}
