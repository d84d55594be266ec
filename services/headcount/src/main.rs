//! The program: the library's `run` with the program's own allocator. Tests and fuzz targets of the library use theirs.

mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    headcount::run(std::env::args_os())
}
