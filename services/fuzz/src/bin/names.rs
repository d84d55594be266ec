//! Fuzzes counters' names and the paths that contain them: see [`headcount_fuzz::names`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::names(bytes));
