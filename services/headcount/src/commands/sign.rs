//! `headcount sign NAME`: the address of a counter where names are signed.

use crate::options::SignOptions;

/// Prints each name with its signature, as addresses carry it.
///
/// # Errors
/// None; for the shape of all commands.
pub(crate) fn run(options: &SignOptions) -> anyhow::Result<()> {
    for name in &options.names {
        println!("{}", options.sign_key.sign(name));
    }
    Ok(())
}
