//! [`Chart`]: a counter's past, as a picture shows it.

mod calendar;
mod columns;
mod palette;
mod ticks;
mod view;

use headcount_wire::history::History;

pub(crate) use self::{
    columns::{Column, columns},
    palette::Palette,
    ticks::{TimeTick, ValueAxis, time_ticks},
    view::View,
};

/// What a picture that shows the past needs besides a figure.
#[derive(Clone, Copy, Debug)]
pub struct Chart<'h> {
    /// The past. What is in it decides, whatever the look says: its span, its points, and when it was read.
    pub history: &'h History,
    /// Numbers below this are hidden, as they are in figures. 0 hides none.
    pub small: u64,
}
