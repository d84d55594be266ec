//! Finds the workspace's binaries: in the directory of the running one, or by building them.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Why a program was not found.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The path of the running program is unknown.
    #[error("cannot tell where this program is: {0}")]
    Here(#[source] io::Error),
    /// It was not there, and building it failed.
    #[error("{program} is not in {directory:?}, and `{command}` failed: {reason}")]
    Build {
        /// The program.
        program: String,
        /// The directory that was searched.
        directory: PathBuf,
        /// What was tried.
        command: String,
        /// How it failed.
        reason: String,
    },
}

/// The path of `program`, one of the workspace's binaries.
///
/// # Errors
/// If it is not in the directory of the running program, and cannot be built.
pub fn find(program: &str) -> Result<PathBuf, ProgramError> {
    let here = env::current_exe().map_err(ProgramError::Here)?;
    if here.file_name().is_some_and(|name| name == program) {
        return Ok(here);
    }
    // Test binaries are in `deps`, one below the programs.
    let mut directory = here.parent().unwrap_or(Path::new("/")).to_path_buf();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let path = directory.join(program);
    if path.is_file() {
        return Ok(path);
    }
    let mut build = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--quiet", "--bin", program, "--package", program]);
    if directory.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    let reason = match build.status() {
        Ok(status) if status.success() && path.is_file() => return Ok(path),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Err(ProgramError::Build { program: program.into(), directory, command: format!("{build:?}"), reason })
}
