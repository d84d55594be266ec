//! `headcount-load faults`: breaks things in an order that a seed decides, and checks the promise after each.

mod arguments;
mod fault;
mod nodes;
mod run;
mod schedule;
mod stores;
mod timeline;
mod world;

pub(crate) use arguments::Arguments;
pub(crate) use run::run;
