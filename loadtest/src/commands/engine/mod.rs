//! `headcount-load engine`: compares a node with other servers of streams.

mod arguments;
mod compare;
mod measured;
mod stall;
mod subject;

pub(crate) use arguments::Arguments;
use arguments::Part;

use crate::report::Report;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new("The viewer engine beside its peers");
    for part in &arguments.only {
        match part {
            Part::Peers => compare::compare(arguments, &mut report)?,
            Part::Stall => stall::stall(arguments, &mut report)?,
        }
    }
    Ok(report)
}
