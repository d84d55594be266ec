//! The options of `headcount-load engine`.

use clap::{Args, ValueEnum};
use headcount_testkit::NodeOptions;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// The comparison with the other servers
    Peers,
    /// One third of the viewers stop reading
    Stall,
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Viewers of each server
    #[arg(long, default_value_t = 18_000)]
    pub(super) viewers: usize,
    /// Pushes to each server in each round
    #[arg(long, default_value_t = 10)]
    pub(super) pushes: usize,
    /// Rounds: in each, every server has its turn
    #[arg(long, default_value_t = 3)]
    pub(super) rounds: usize,
    /// Only these
    #[arg(long, value_enum, value_delimiter = ',', default_value = "peers,stall")]
    pub(super) only: Vec<Part>,
    /// Further options of the node, as one text: --options "--shards 1"
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(super) options: String,
}

impl Arguments {
    /// How the node is started.
    pub(super) fn node(&self) -> NodeOptions {
        NodeOptions::default().with(self.options.split_whitespace())
    }
}
