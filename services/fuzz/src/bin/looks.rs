//! The options of a look, and the pictures in it, fuzzed: see [`headcount_fuzz::looks`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::looks(bytes));
