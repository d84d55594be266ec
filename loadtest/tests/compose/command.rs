//! Programs that the test runs: `docker`, `git`, `ip`, `curl`.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use headcount_testkit::Process;

/// Runs a program to its end, and returns its standard output without the last newline.
///
/// # Errors
/// If it cannot be started or exits with another status than 0; then with what it wrote to standard error.
pub(crate) fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    finish(Command::new(program).args(arguments))
}

/// The same for a command that is already put together.
pub(crate) fn finish(command: &mut Command) -> anyhow::Result<String> {
    let said = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        said.status.success(),
        "{command:?}: {}\n{}{}",
        said.status,
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    Ok(String::from_utf8_lossy(&said.stdout).trim_end().to_owned())
}

/// Clones HEAD of the repository that this test belongs to, as a user would.
pub(crate) fn clean_clone(into: &Path) -> anyhow::Result<String> {
    let here = concat!("file://", env!("CARGO_MANIFEST_DIR"), "/..");
    let into = into.to_str().context("temporary folders have plain names")?;
    output("git", &["clone", "--quiet", "--depth", "1", here, into])?;
    output("git", &["-C", into, "log", "-1", "--format=%h %s"])
}

/// Starts a program, silent, that runs until this is dropped. The kernel closes the connections of a killed program, as it
/// does for a closed browser.
pub(crate) fn start(program: &str, arguments: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Process::start(command)?)
}
