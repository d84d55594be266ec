//! Fuzzes the form of tic-tac-toe: see [`headcount_fuzz::forms`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::forms(bytes));
