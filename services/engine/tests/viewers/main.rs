//! The engine over real sockets: what viewers read, how they go, and what is left of them.

mod departures;
mod ending;
mod harness;
mod limits;
mod pace;
mod random;
mod streams;
