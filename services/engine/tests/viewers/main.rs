//! Tests of the engine over real sockets: what viewers read, how they leave, and that nothing of them remains.

mod departures;
mod ending;
mod harness;
mod holding;
mod limits;
mod pace;
mod random;
mod streams;
mod turn_over;
