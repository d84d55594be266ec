//! What `services/fuzz` asks of this crate's inside, to feed it anything. Nothing else may use it.

pub use crate::redis::fuzzing::{ReplyFuzzer, state_key_names};
