//! `headcount-load faults`: breaks things in an order that a seed decides, and checks the promise after each.

mod arguments;
mod fault;
mod inject;
mod kept;
mod key_lives;
mod nodes;
mod run;
mod schedule;
mod setup;
mod stalls;
mod stores;
mod timeline;

pub(crate) use arguments::Arguments;
pub(crate) use run::run;
