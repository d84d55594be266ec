//! `headcount sign NAME`: signs counters' names.

use crate::options::SignOptions;

/// Prints each name with its signature, as in paths.
///
/// # Errors
/// Never fails; all commands return a result.
pub(crate) fn run(options: &SignOptions) -> anyhow::Result<()> {
    for name in &options.names {
        println!("{}", options.sign_key.sign(name));
    }
    Ok(())
}
