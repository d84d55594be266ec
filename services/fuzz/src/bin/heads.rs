//! Fuzzes request heads and whatever else a client sends: see [`headcount_fuzz::heads`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::heads(bytes));
