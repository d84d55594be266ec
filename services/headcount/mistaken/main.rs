//! `headcount-mistaken`: the node with planted bugs. A test of the load test runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    headcount::run(std::env::args_os())
}
