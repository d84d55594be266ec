//! The program: see the library beside it. Only the memory is the program's own, so that tests and fuzzers of the library
//! have theirs.

mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    headcount::run(std::env::args_os())
}
