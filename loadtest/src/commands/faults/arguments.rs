//! The options of `headcount-load faults`.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::Args;

use super::{fault::Fault, schedule::seeds};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Decides what is broken, in which order, and which node it hits: one seed, or a range as 1..20
    #[arg(long, default_value = "1", value_parser = seeds)]
    pub(super) seed: RangeInclusive<u64>,
    /// Faults for each seed
    #[arg(long, default_value_t = 5)]
    pub(super) steps: usize,
    /// Only these faults
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) only: Vec<Fault>,
    /// Do all of it so many times
    #[arg(long, default_value_t = 1)]
    pub(super) repeat: usize,
    /// Nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..))]
    pub(super) nodes: u16,
    /// Viewers of each node to begin with
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) viewers: u16,
    /// The binary of the nodes, where it is not the one beside this program: to see that a faulty one is caught
    #[arg(long)]
    pub(super) program: Option<PathBuf>,
}
