//! The report as one page, its plots within it.

use std::fmt::Write;

use super::data::{Outcome, Report};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #ccc;padding:.25rem .7rem;text-align:left}\
    .missed{color:#b00020;font-weight:600}.reached{color:#1b6c38}svg{max-width:100%;height:auto}code{background:#f3f3f3;padding:.1rem .3rem}";

/// The page.
pub(super) fn page(report: &Report) -> anyhow::Result<String> {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style>\
         <h1>{0}</h1><p><code>{1}</code></p><p>{2}</p>",
        escaped(&report.title),
        escaped(&report.command),
        escaped(&report.machine.to_string()),
    );
    if report.interrupted {
        page.push_str("<p>Interrupted: what follows was found until then.</p>");
    }
    if !report.verdicts.is_empty() {
        page.push_str("<table><tr><th>what<th>measured<th>bound<th>");
        for verdict in &report.verdicts {
            let (class, word) = match verdict.outcome {
                Outcome::Reached => ("reached", "reached"),
                Outcome::Missed => ("missed", "missed"),
            };
            let (what, measured, bound) = (&verdict.what, &verdict.measured, &verdict.bound);
            write!(
                page,
                "<tr><td>{}<td>{}<td>{}<td class={class}>{word}",
                escaped(what),
                escaped(measured),
                escaped(bound)
            )?;
        }
        page.push_str("</table>");
    }
    for table in &report.tables {
        write!(page, "<h2>{}</h2><table><tr>", escaped(&table.title))?;
        for column in &table.columns {
            write!(page, "<th>{}", escaped(column))?;
        }
        for row in &table.rows {
            page.push_str("<tr>");
            for cell in row {
                write!(page, "<td>{}", escaped(cell))?;
            }
        }
        page.push_str("</table>");
    }
    for plot in &report.plots {
        write!(page, "<figure>{}</figure>", plot.svg()?)?;
    }
    for note in &report.notes {
        write!(page, "<p>{}</p>", escaped(note))?;
    }
    Ok(page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
