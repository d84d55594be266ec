//! Counters' names, and the addresses that hold them, fuzzed: see [`headcount_fuzz::names`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::names(bytes));
