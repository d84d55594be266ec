//! Fuzzes Redis' replies: see [`headcount_fuzz::replies`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::replies(bytes));
