//! [`Output`]: where a report goes, as text, as JSON, and as a page with plots.

use std::{fs, io, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;

use super::{
    data::{Outcome, Report, Weight},
    html,
    machine::Ticks,
};

/// A host that takes more than this share of the processors for other machines is noted in the report.
const STOLEN_WORTH_TELLING: f64 = 0.01;

/// Where a report goes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// Print the figures as one JSON object in place of text
    #[arg(long, global = true)]
    json: bool,
    /// Write a page with plots, and the figures as JSON, into this directory
    #[arg(long, global = true, value_name = "DIR")]
    report: Option<PathBuf>,
}

impl Report {
    /// Prints the report, writes its page, and returns the process's exit status: a failure if a promise was broken.
    pub(crate) fn finish(mut self, output: &Output) -> anyhow::Result<ExitCode> {
        self.interrupted = crate::interrupt::requested();
        let stolen = Ticks::now().stolen_since(self.begun);
        self.fact("stolen_share", stolen);
        if stolen > STOLEN_WORTH_TELLING {
            self.note(format!(
                "the host kept {:.1} % of this machine's processor time for others meanwhile",
                stolen * 100.0
            ));
        }
        let json = serde_json::to_string_pretty(&self).context("the figures as JSON")?;
        if output.json {
            println!("{json}");
        } else {
            self.print(&mut io::stdout().lock()).context("printing the report")?;
        }
        if let Some(directory) = &output.report {
            fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
            let page = html::page(&self)?;
            for (name, text) in [("report.json", &json), ("index.html", &page)] {
                let path = directory.join(name);
                fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            }
            for plot in &self.plots {
                let path = directory.join(format!("{}.svg", plot.name()));
                fs::write(&path, plot.svg()?).with_context(|| format!("writing {}", path.display()))?;
            }
        }
        let broken = self.verdicts.iter().any(|one| (one.weight, one.outcome) == (Weight::Promise, Outcome::Missed));
        Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn print(&self, out: &mut impl io::Write) -> io::Result<()> {
        writeln!(out, "{}\n{}\n{}", self.title, self.command, self.machine)?;
        if self.interrupted {
            writeln!(out, "Interrupted: what follows was found until then.")?;
        }
        for table in &self.tables {
            let mut widths: Vec<usize> = table.columns.iter().map(|cell| cell.chars().count()).collect();
            for row in &table.rows {
                for (width, cell) in widths.iter_mut().zip(row) {
                    *width = (*width).max(cell.chars().count());
                }
            }
            writeln!(out, "\n{}", table.title)?;
            for row in std::iter::once(&table.columns).chain(&table.rows) {
                let cells: Vec<String> =
                    row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
                writeln!(out, "  {}", cells.join("  ").trim_end())?;
            }
        }
        if !self.verdicts.is_empty() {
            writeln!(out)?;
        }
        for verdict in &self.verdicts {
            let sign = match verdict.outcome {
                Outcome::Reached => "reached",
                Outcome::Missed => "MISSED ",
            };
            writeln!(out, "{sign}  {}: {} (bound: {})", verdict.what, verdict.measured, verdict.bound)?;
        }
        for note in &self.notes {
            writeln!(out, "note     {note}")?;
        }
        Ok(())
    }
}
