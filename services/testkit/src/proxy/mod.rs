//! A proxy between a node and its Redis that disturbs what goes through it.

mod proxy;
mod relay;
mod replies;
mod rules;

pub use proxy::Proxy;
pub use rules::{Direction, ScriptFaults};
