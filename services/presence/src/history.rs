//! A counter's past: what was counted in each minute, quarter of an hour and day, and the most at once.
//!
//! [`recorder::Recorder`] keeps it, and defines what each number means. Without Redis there is one of each counter in [`embedded`]. With
//! Redis the scripts keep the same in a key (`src/lua/history.lua`), which is read into a recorder.

pub(crate) mod embedded;
mod file;
pub(crate) mod recorder;
pub(crate) mod ring;
mod settings;

pub use file::{HistoryFile, HistoryFileError};
pub use settings::{HistoryRule, HistorySettings};
