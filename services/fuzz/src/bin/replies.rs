//! What Redis says, fuzzed: see [`headcount_fuzz::replies`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::replies(bytes));

#[cfg(not(fuzzing))]
fn main() {
    headcount_fuzz::replay("replies", headcount_fuzz::replies);
}
