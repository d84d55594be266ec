//! What `services/fuzz` uses of this crate's internals. For nothing else.

pub use crate::redis::fuzzing::{CounterViewHarness, state_key_names};
