//! PROXY headers, fuzzed: see [`headcount_fuzz::proxy`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::proxy(bytes));

#[cfg(not(fuzzing))]
fn main() {
    headcount_fuzz::replay("proxy", headcount_fuzz::proxy);
}
