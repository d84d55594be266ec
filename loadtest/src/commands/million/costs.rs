//! What a million viewers cost: memory of nodes, kernel, clients and Redis; processor time; commands.

use std::time::Duration;

use headcount_testkit::{Node, Usage};

use super::{needs, run::Run};
use crate::report::{Report, Table};

pub(super) fn nodes_use(nodes: &[Node]) -> anyhow::Result<Usage> {
    let mut sum = Usage::default();
    for node in nodes {
        sum = sum + node.usage()?;
    }
    Ok(sum)
}

/// What the viewers cost nodes, kernel and Redis.
pub(super) fn costs(
    run: &Run,
    report: &mut Report,
    idle: Usage,
    available_before: u64,
    live: usize,
) -> anyhow::Result<()> {
    let nodes = nodes_use(&run.nodes)?;
    let redis = run.redis.usage()?;
    let clients: u64 = run
        .viewers
        .processes()
        .into_iter()
        .filter_map(|process| headcount_testkit::usage::of(process).ok())
        .map(|usage| usage.pss_bytes)
        .sum();
    let taken = available_before.saturating_sub(needs::available_bytes()?);
    let kernel = taken.saturating_sub(nodes.pss_bytes + redis.pss_bytes + clients);
    let per_viewer = |bytes: u64| format!("{:.2} KiB", bytes as f64 / 1024.0 / live as f64);
    let grown = nodes.pss_bytes.saturating_sub(idle.pss_bytes);
    let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30));
    let commands: u64 = run.redis.info("total_commands_processed")?.parse().unwrap_or(0);
    let used: u64 = run.redis.info("used_memory")?.parse().unwrap_or(0);
    let mut table = Table::new(&format!("What {live} viewers cost"), &["", "in all", "a viewer"]);
    for (name, bytes) in [
        ("nodes, above idle", grown),
        ("nodes, with what they need idle", nodes.pss_bytes),
        ("kernel, both ends", kernel),
        ("clients", clients),
        ("Redis", used),
    ] {
        table.row(vec![name.into(), gib(bytes), per_viewer(bytes)]);
        report.fact(name, bytes);
    }
    let micros = |cpu: Duration| format!("{:.0} µs", cpu.as_secs_f64() * 1e6 / live as f64);
    for (name, cpu) in [("processor time of the nodes", nodes.cpu), ("processor time of Redis", redis.cpu)] {
        table.row(vec![name.into(), format!("{:.1} s", cpu.as_secs_f64()), micros(cpu)]);
        report.fact(name, cpu.as_secs_f64());
    }
    table.row(vec!["commands in Redis".into(), commands.to_string(), format!("{:.2}", commands as f64 / live as f64)]);
    report.table(table);
    report.fact("redis_commands", commands);
    report.fact("node_processes", run.nodes.len());
    Ok(())
}
