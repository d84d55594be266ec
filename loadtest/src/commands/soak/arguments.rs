//! The options of `headcount-load soak`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Minutes of traffic, before they are divided by the scale
    #[arg(long, default_value_t = 30.0)]
    pub(super) minutes: f64,
    /// Decides the traffic and the disturbances
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Divide all times of the traffic, the disturbances and the nodes by this number
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) scale: u32,
    /// The binary of the nodes, where it is not the one beside this program: to see that a faulty one is caught
    #[arg(long)]
    pub(super) program: Option<PathBuf>,
}
