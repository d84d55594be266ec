//! Seeds, and what each of them decides: the faults, their order, and the random choices of each.

use std::ops::RangeInclusive;

use clap::ValueEnum;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::fault::Fault;

/// Reads a seed, or a range that includes both ends: 1..20.
pub(super) fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse().map_err(|error| format!("a seed, or a range as 1..20: {error}"));
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last.trim_start_matches('='))?);
    if first <= last {
        Ok(first..=last)
    } else {
        Err(format!("the last seed, {last}, comes before the first, {first}"))
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
        assert_eq!(seeds("1..20"), Ok(1..=20));
        assert_eq!(seeds("3..=4"), Ok(3..=4));
        assert_eq!(seeds("7"), Ok(7..=7));
        assert!(seeds("4..3").is_err());
        assert!(seeds("1..").is_err());
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
