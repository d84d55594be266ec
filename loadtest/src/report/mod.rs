//! What a run found, as text, as JSON, and as a page with plots.

mod data;
mod html;
mod machine;
mod output;
mod plot;

pub(crate) use data::{Report, Table, Weight};
pub(crate) use output::Output;
pub(crate) use plot::Plot;
