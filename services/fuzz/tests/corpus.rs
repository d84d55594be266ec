//! Runs each fuzz target on its corpus.

use headcount_fuzz::{forms, heads, looks, names, proxy, replay, replies};

#[test]
fn move_forms() {
    replay("forms", forms);
}

#[test]
fn request_heads() {
    replay("heads", heads);
}

#[test]
fn proxy_headers() {
    replay("proxy", proxy);
}

#[test]
fn look_options() {
    replay("looks", looks);
}

#[test]
fn counter_names() {
    replay("names", names);
}

#[test]
fn redis_replies() {
    replay("replies", replies);
}
