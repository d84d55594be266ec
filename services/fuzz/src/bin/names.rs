//! Counters' names, and the addresses that hold them, fuzzed: see [`headcount_fuzz::names`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::names(bytes));

#[cfg(not(fuzzing))]
fn main() {
    headcount_fuzz::replay("names", headcount_fuzz::names);
}
