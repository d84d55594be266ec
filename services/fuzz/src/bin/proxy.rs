//! Fuzzes PROXY headers: see [`headcount_fuzz::proxy`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::proxy(bytes));
