//! [`Seeds`] and what each of them decides: the faults, their order, and the random choices of each.

use std::{num::ParseIntError, ops::RangeInclusive, str::FromStr};

use clap::ValueEnum;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::fault::Fault;

/// Seeds from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeds {
    first: u64,
    last: u64,
}

/// Why a text is not a range of seeds.
#[derive(Debug, thiserror::Error)]
pub(super) enum SeedsError {
    #[error("a seed, or a range as 1..20: {0}")]
    Number(#[from] ParseIntError),
    #[error("the last seed, {last}, comes before the first, {first}")]
    Empty { first: u64, last: u64 },
}

impl FromStr for Seeds {
    type Err = SeedsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (first.parse()?, last.trim_start_matches('=').parse()?);
        if first > last { Err(SeedsError::Empty { first, last }) } else { Ok(Self { first, last }) }
    }
}

impl Seeds {
    /// All of them.
    pub(super) fn all(self) -> RangeInclusive<u64> {
        self.first..=self.last
    }
}

/// One fault of a schedule.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) fault: Fault,
    /// Decides which node it hits, and everything else that is random. Each step has its own, so that the number of values
    /// that one step takes does not change the next.
    pub(super) choice: StdRng,
}

/// The faults of a seed, of `only` these if any are given. The same on every machine.
pub(super) fn of_seed(seed: u64, steps: usize, only: &[Fault]) -> Vec<Step> {
    let faults = if only.is_empty() { Fault::value_variants() } else { only };
    let mut choice = StdRng::seed_from_u64(seed);
    let step = |_| {
        let fault = faults[choice.random_range(0..faults.len())];
        Step { fault, choice: StdRng::seed_from_u64(choice.random()) }
    };
    (0..steps).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_includes_both_ends() {
        assert_eq!("1..20".parse::<Seeds>().unwrap().all(), 1..=20);
        assert_eq!("3..=4".parse::<Seeds>().unwrap().all(), 3..=4);
        assert_eq!("7".parse::<Seeds>().unwrap().all(), 7..=7);
        assert!("4..3".parse::<Seeds>().is_err());
        assert!("1..".parse::<Seeds>().is_err());
    }

    #[test]
    fn a_seed_decides_everything() {
        let schedule = |seed, steps| -> Vec<(Fault, u64)> {
            of_seed(seed, steps, &[]).into_iter().map(|mut step| (step.fault, step.choice.random())).collect()
        };
        assert_eq!(schedule(5, 50), schedule(5, 50));
        assert_eq!(schedule(5, 50)[..5], schedule(5, 5));
        assert_ne!(schedule(5, 50), schedule(6, 50));
        assert!(of_seed(5, 50, &[Fault::Kill]).iter().all(|step| step.fault == Fault::Kill));
    }

    #[test]
    fn twenty_seeds_of_five_steps_break_everything() {
        let broken: Vec<Fault> = (1..=20).flat_map(|seed| of_seed(seed, 5, &[])).map(|step| step.fault).collect();
        for fault in Fault::value_variants() {
            assert!(broken.contains(fault), "no seed up to 20 chooses {}", fault.name());
        }
    }
}
