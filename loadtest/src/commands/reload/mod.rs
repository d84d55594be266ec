//! `headcount-load reload`: replaces a node's program again and again under its viewers, and checks that nobody notices.

mod bad;
mod crowd;
mod node;
mod phase;

use clap::Args;

use self::{crowd::Traffic, node::Store, phase::Phase};
use crate::report::Report;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Viewers of the node that is reloaded
    #[arg(long, default_value_t = 15_000)]
    viewers: usize,
    /// Reloads of each phase: without Redis, with it, and with it while viewers come and go
    #[arg(long, default_value_t = 20)]
    reloads: usize,
    /// Changes a second in the last phase
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new("A new program under the same viewers");
    for (name, store, traffic) in [
        ("without Redis", Store::OwnProcess, Traffic::None),
        ("with Redis", Store::Redis, Traffic::None),
        ("while viewers come and go", Store::Redis, Traffic::Changes { per_second: arguments.rate }),
    ] {
        Phase { name, viewers: arguments.viewers, reloads: arguments.reloads }.run(store, traffic, &mut report)?;
    }
    bad::run(arguments.viewers, &mut report)?;
    Ok(report)
}
