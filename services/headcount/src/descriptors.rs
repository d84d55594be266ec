//! The process's open files: the limit is raised as far as the system lets it, and read.

use std::io;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Descriptors kept for what neither watches nor waits for a request: Redis, admin, pollers, requests that are being
/// answered.
const RESERVE: usize = 512;
/// Where descriptors are few, connections that wait for a request may have one in so many of them.
const HEADS_SHARE: usize = 4;

/// How many descriptors there are for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DescriptorBudget {
    /// Viewers.
    pub(crate) viewers: usize,
    /// Connections that wait for a request.
    pub(crate) heads: usize,
}

/// Divides the limit, so that neither viewers nor those who only connect can take what the others need.
///
/// # Errors
/// Where the system does not say what the limit is.
pub(crate) fn budget(max_heads: usize) -> io::Result<DescriptorBudget> {
    Ok(divide(limit()?, max_heads))
}

fn divide(limit: usize, max_heads: usize) -> DescriptorBudget {
    let free = limit.saturating_sub(RESERVE);
    let heads = max_heads.min(free / HEADS_SHARE).max(1);
    DescriptorBudget { viewers: free.saturating_sub(heads).max(1), heads }
}

/// Raises the soft limit of open files to the hard one.
///
/// # Errors
/// The system's refusal; the limit is then as it was.
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

/// The most descriptors that this process may have open.
///
/// # Errors
/// Where the system does not say.
fn limit() -> io::Result<usize> {
    limits().map(|(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// The descriptors that are open now.
///
/// # Errors
/// Where /proc is not mounted.
pub(crate) fn in_use() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

fn limits() -> io::Result<(u64, u64)> {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Ok((limits.current.unwrap_or(u64::MAX), limits.maximum.unwrap_or(u64::MAX)))
}

/// Descriptors in use and their limit, read when the metrics are.
#[derive(Debug)]
struct Gauges;

/// Names the gauges in the registry.
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
    fn all_parts_fit_the_limit() {
        assert_eq!(divide(20_000, 1024), DescriptorBudget { viewers: 18_464, heads: 1024 });
        assert_eq!(divide(1024, 1024), DescriptorBudget { viewers: 384, heads: 128 });
        assert_eq!(divide(64, 1024), DescriptorBudget { viewers: 1, heads: 1 });
    }
}
