//! `headcount-load soak`: ordinary traffic of every shape on a dozen counters, with stalls, deploys and outages, and every
//! number that was shown is held against the truth of the last second.

mod arguments;
mod crowd;
mod disturbance;
mod driver;
mod findings;
mod fleet;
mod observer;
mod run;
mod traffic;
mod truth;

pub(crate) use arguments::Arguments;
pub(crate) use run::run;
