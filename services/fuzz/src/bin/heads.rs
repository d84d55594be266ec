//! Request heads, and whatever else opens a connection, fuzzed: see [`headcount_fuzz::heads`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::heads(bytes));

#[cfg(not(fuzzing))]
fn main() {
    headcount_fuzz::replay("heads", headcount_fuzz::heads);
}
