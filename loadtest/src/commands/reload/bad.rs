//! A program and a configuration that are broken: nothing changes, and the log says why.

use std::{thread, time::Duration};

use super::{
    crowd::{Crowd, Traffic},
    node::{ReloadedNode, Store},
};
use crate::report::{Report, Weight};

/// Nothing happens for this time afterwards.
const STAYS: Duration = Duration::from_secs(2);

pub(super) fn run(viewers: usize, report: &mut Report) -> anyhow::Result<()> {
    let node = ReloadedNode::start(Store::OwnProcess)?;
    let crowd = Crowd::open(viewers, &node.node, None, Traffic::None)?;
    node.install_broken()?;
    refuse(&node, &crowd, 1, "a broken program", "this is not a node", report)?;
    node.install()?;
    node.configure("frame-rate = 'often'\nkeep-alive = '1s'\n")?;
    refuse(&node, &crowd, 2, "a broken configuration", "frame-rate", report)?;
    node.configure("frame-rate = 20.0\n")?;
    node.signal()?;
    node.has_reloaded("done", 1)?;
    let lost = crowd.staying.snapshot()?.lost();
    report.verdict(Weight::Promise, "a good one after them", format!("{lost} streams ended"), "0", lost == 0);
    Ok(())
}

fn refuse(
    node: &ReloadedNode,
    crowd: &Crowd,
    times: u64,
    what: &str,
    reason: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let before = crowd.staying.snapshot()?;
    node.signal()?;
    node.has_reloaded("rejected", times)?;
    thread::sleep(STAYS);
    let after = crowd.staying.snapshot()?;
    let said = node.node.log().iter().any(|line| line.contains("not reloaded") && line.contains(reason));
    let parts = after.parts - before.parts;
    let measured = format!(
        "{} streams ended, {parts} frames sent, {}",
        after.lost(),
        if said { "the log says why" } else { "the log does not say why" }
    );
    let bound = "0 streams ended, 0 frames sent, the log says why";
    report.verdict(Weight::Promise, what, measured, bound, after.lost() == 0 && parts == 0 && said);
    Ok(())
}
