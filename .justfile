# The development loop. `just` lists these; .github/CONTRIBUTING.md explains them.
# Needs just (`cargo install just`); `just dev` also needs cargo-watch and redis-server.

set shell := ["bash", "-euo", "pipefail", "-c"]

# List the recipes.
default:
    @just --list

# Redis and two nodes (ports 8080 and 8090), rebuilt and restarted on every change.
dev:
    #!/usr/bin/env bash
    set -euo pipefail
    for program in cargo-watch redis-server; do
        command -v "$program" >/dev/null || { echo "just dev needs $program (see .github/CONTRIBUTING.md)" >&2; exit 1; }
    done
    redis-server --port 6390 --save '' --appendonly no --loglevel warning &
    trap 'kill $(jobs -p) 2>/dev/null' EXIT
    export HEADCOUNT_REDIS=redis://127.0.0.1:6390/ HEADCOUNT_DRAIN=0s
    cargo watch --quiet --watch services --ignore 'services/*/tests' --shell '
        cargo build && trap "kill 0" EXIT
        target/debug/headcount --listen 127.0.0.1:8080 --admin 127.0.0.1:8079 &
        target/debug/headcount --listen 127.0.0.1:8090 --admin 127.0.0.1:8089 &
        wait'

# Format, clippy, and all tests that need neither Redis nor browsers: under a minute once built.
quick:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo test --locked --workspace --lib --bins
    cargo test --locked -p headcount-drawing -p headcount-engine -p headcount-wire -p headcount-fuzz

# Fault tests whose name contains NAME, over real Redis and nodes: just faults a_node_is_killed
faults NAME:
    cargo test --locked -p headcount --test faults -- --nocapture {{NAME}}

# Everything that a change must pass (.ci/run): installs Debian packages, takes half an hour on two cores.
all:
    .ci/run
