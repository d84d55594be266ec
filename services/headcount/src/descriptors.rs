//! The limit of open files: raises it, divides it between viewers and idle connections, and reports it in the metrics.

use std::io;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Descriptors reserved for Redis, the admin port, pollers and requests in progress.
const RESERVE: usize = 512;
/// Of those, requests in progress may have these if all viewers are here.
const REQUESTS_RESERVE: usize = RESERVE / 2;
/// If descriptors are few, idle connections get one in this many of them.
const HEADS_SHARE: usize = 4;

/// How descriptors are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DescriptorBudget {
    /// Most viewers.
    pub(crate) viewers: usize,
    /// Most connections that wait for a request.
    pub(crate) heads: usize,
    /// Most requests in progress and viewers together. Viewers who come all at once fit into it.
    pub(crate) requests: usize,
}

/// Divides the limit, so that neither viewers nor idle connections can use up the others' descriptors.
///
/// # Errors
/// Fails if the limit cannot be read.
pub(crate) fn budget(max_heads: usize) -> io::Result<DescriptorBudget> {
    Ok(divide(limit()?, max_heads))
}

fn divide(limit: usize, max_heads: usize) -> DescriptorBudget {
    let free = limit.saturating_sub(RESERVE);
    let heads = max_heads.min(free / HEADS_SHARE).max(1);
    let viewers = free.saturating_sub(heads).max(1);
    DescriptorBudget { viewers, heads, requests: viewers + REQUESTS_RESERVE }
}

/// Raises the soft limit of open files to the hard one.
///
/// # Errors
/// Fails if the system refuses. The limit is unchanged then.
pub(crate) fn raise() -> io::Result<()> {
    let (soft, hard) = limits()?;
    if soft >= hard {
        return Ok(());
    }
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: Some(hard), maximum: Some(hard) },
    )?;
    Ok(())
}

/// Returns the most descriptors that this process may have open.
///
/// # Errors
/// Fails if the limit cannot be read.
fn limit() -> io::Result<usize> {
    limits().map(|(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// Returns the number of open descriptors.
///
/// # Errors
/// Fails if /proc is not mounted.
fn in_use() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

fn limits() -> io::Result<(u64, u64)> {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Ok((limits.current.unwrap_or(u64::MAX), limits.maximum.unwrap_or(u64::MAX)))
}

/// Open descriptors and their limit, read whenever the metrics are encoded.
#[derive(Debug)]
struct Gauges;

/// Registers the metrics.
pub(crate) fn register_metrics(registry: &mut Registry) {
    registry.register_collector(Box::new(Gauges));
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauges = [
            ("descriptors", "Open descriptors of this process", in_use()),
            ("descriptors_limit", "Most descriptors that this process may have open", limit()),
        ];
        for (name, help, value) in gauges {
            let Ok(value) = value else { continue };
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fit_into_the_limit() {
        assert_eq!(divide(20_000, 1024), DescriptorBudget { viewers: 18_464, heads: 1024, requests: 18_720 });
        assert_eq!(divide(1024, 1024), DescriptorBudget { viewers: 384, heads: 128, requests: 640 });
        assert_eq!(divide(64, 1024), DescriptorBudget { viewers: 1, heads: 1, requests: 257 });
    }
}
