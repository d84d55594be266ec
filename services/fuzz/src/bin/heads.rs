//! Request heads, and whatever else opens a connection, fuzzed: see [`headcount_fuzz::heads`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headcount_fuzz::heads(bytes));
