//! [`Progress`]: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How far something has come. Goes to standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    last_line: Instant,
}

impl Progress {
    /// Shows that `what` has begun, and will be done at `total`.
    pub(crate) fn new(what: impl Into<String>, total: u64) -> Self {
        let what = what.into();
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style =
                ProgressStyle::with_template("{msg:32} {bar:40} {human_pos}/{human_len} {elapsed} ({eta} left)");
            bar.set_style(style.expect("the template is valid"));
            bar.set_message(what.clone());
            bar
        });
        if bar.is_none() {
            eprintln!("{what} …");
        }
        Self { bar, what, total, last_line: Instant::now() }
    }

    /// Shows how far it has come.
    pub(crate) fn at(&mut self, position: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(position),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                eprintln!("{}: {position} of {}", self.what, self.total);
                self.last_line = Instant::now();
            }
            None => {}
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
