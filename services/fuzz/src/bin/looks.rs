//! Fuzzes options of a look, and its pictures: see [`headcount_fuzz::looks`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::looks(bytes));
