//! `headcount`: a live count of who is here, in one `<img>` tag, with no JavaScript.

mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    headcount::run()
}
