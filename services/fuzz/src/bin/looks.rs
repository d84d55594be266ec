//! The options of a look, and the pictures in it, fuzzed: see [`headcount_fuzz::looks`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::looks(bytes));

#[cfg(not(fuzzing))]
fn main() {
    headcount_fuzz::replay("looks", headcount_fuzz::looks);
}
