//! Log lines, to standard error: for people on a terminal, JSON for programs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::options::LogFormat;

/// Installs the process's subscriber. `filter` has been checked with the other options.
///
/// # Errors
/// Where a subscriber is installed already, or the filter is malformed.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let pretty = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(std::io::stderr);
    let installed = if pretty {
        lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    installed.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}
