//! `headcount check`: says that a node would start. What is wrong has been reported before.

use crate::options::ServeOptions;

/// Prints one line, and `warnings` to standard error.
///
/// # Errors
/// Never fails; all commands return a result.
pub(crate) fn run(options: &ServeOptions, warnings: &[String]) -> anyhow::Result<()> {
    for warning in warnings {
        eprintln!("headcount: warning: {warning}");
    }
    let file = options.config.as_deref().map(|path| format!(" ({})", path.display())).unwrap_or_default();
    println!("headcount: a node would start with this configuration{file}");
    Ok(())
}
