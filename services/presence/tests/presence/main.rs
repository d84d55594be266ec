//! Presence as the rest of the service sees it: in one process, and on a real Redis.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damping;
mod embedded;
mod faults;
mod full;
mod resume;
mod resume_redis;
mod shared;
