//! The whole system as `docker-compose.yml` brings it up, used and broken the way its users and operators will.
//!
//! `cargo test -p headcount-load --test compose` runs it all; names behind `--` pick proofs (`-- crowd leaving`). It
//! needs root, a Docker engine with Compose, git, ip, curl, openssl, chromium and chromedriver, and fails without them: a test
//! that passes over what it cannot see proves nothing. A plain `cargo test` leaves it out (`test = false`).
//!
//! It works on a clean clone of HEAD, under a project name, ports and a subnet of its own, so that a stack that is
//! running already is left alone. What it starts it removes. `HEADCOUNT_COMPOSE_KEEP=1` leaves the stack up to look at.
//! `HEADCOUNT_COMPOSE_IMAGE=NAME` tests an image that is here in place of building one.

mod browser;
mod command;
mod crowd;
mod namespace;
mod node;
mod proofs;
mod stack;
mod timing;

use std::{process::ExitCode, time::Instant};

use proofs::PROOFS;
use stack::Stack;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<_> =
        PROOFS.iter().filter(|proof| wanted.is_empty() || wanted.iter().any(|name| name == proof.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = PROOFS.iter().map(|proof| proof.name).collect();
        eprintln!("no proof of that name; there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    }

    let begun = Instant::now();
    let stack = match Stack::up() {
        Ok(stack) => stack,
        Err(error) => {
            eprintln!("the stack did not come up: {error:#}");
            println!("0 passed, {} failed", chosen.len());
            return ExitCode::FAILURE;
        }
    };
    println!("up from a clean clone after {:.1} s", begun.elapsed().as_secs_f64());

    let mut failed = 0;
    for proof in &chosen {
        println!("\n{}: {}", proof.name, proof.claim);
        let begun = Instant::now();
        match stack.at_rest().and_then(|()| (proof.run)(&stack)) {
            Ok(()) => println!("  passed in {:.1} s", begun.elapsed().as_secs_f64()),
            Err(error) => {
                println!("  FAILED after {:.1} s: {error:#}", begun.elapsed().as_secs_f64());
                stack.explain();
                failed += 1;
            }
        }
    }
    println!("\n{} passed, {failed} failed", chosen.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
