//! [`Program`]: the program at this process's path, which may be another one than the one that runs.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::descriptors::{self, VARIABLE};
use super::format;
use super::handover::Handover;

/// How long `check` may take. It reads files and connects to nothing.
const CHECK_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of what `check` says, on each of its two outputs, that are logged.
const MAX_SAID: u64 = 4096;

/// The program at this process's path, with this process's arguments.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// Why the program cannot replace this process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It cannot be run.
    #[error("{} cannot be run: {error}", path.display())]
    Run {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It says that it would not start.
    #[error("{said}")]
    Rejected {
        /// What it says.
        said: String,
    },
    /// It does not end.
    #[error("it has not checked its configuration within {0:?}")]
    Hangs(Duration),
}

impl Program {
    /// Finds the path by which this process was started. Call it at the start: relative paths depend on the working
    /// directory. A symbolic link stays one, so that it may point to another file later.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let name = arguments.first().map(OsString::as_os_str).unwrap_or_default();
        let path = match find(name, std::env::var_os("PATH").as_deref()) {
            Some(path) => std::path::absolute(path)?,
            None => std::env::current_exe()?,
        };
        Ok(Self { path, arguments })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `headcount check` with this process's arguments and environment.
    ///
    /// # Errors
    /// Fails with what it says if it would not start.
    pub(crate) async fn check(&self) -> Result<(), ProgramError> {
        self.check_within(CHECK_WITHIN).await
    }

    async fn check_within(&self, limit: Duration) -> Result<(), ProgramError> {
        let mut command = Command::new(&self.path);
        command.arg("check").args(serve_arguments(&self.arguments)).env_remove(VARIABLE).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: what it has started ends with it.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| self.cannot_run(error))?;
        let group = ProcessGroup(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ends = async {
            let (stdout, stderr) = tokio::join!(beginning(stdout), beginning(stderr));
            (child.wait().await, [stdout, stderr].concat())
        };
        let (status, said) = match tokio::time::timeout(limit, ends).await {
            Ok((Ok(status), said)) => (status, said),
            Ok((Err(error), _)) => return Err(self.cannot_run(error)),
            Err(_) => return Err(ProgramError::Hangs(limit)),
        };
        drop(group);
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(ProgramError::Rejected { said: if said.is_empty() { status.to_string() } else { said } })
    }

    /// Replaces this process by the program, which takes the handover over. Returns only if that fails: the handover is then
    /// as before. Signals should be [held](super::hold_signals): until the new program handles them, they would kill it.
    pub(crate) fn replace(&self, handover: &Handover) -> ProgramError {
        match self.execute(handover) {
            Ok(never) => match never {},
            Err(error) => {
                if let Err(error) = descriptors::set_inherited(format::descriptors_of(handover), false) {
                    tracing::error!(%error, "descriptors stay open for programs that this process runs");
                }
                self.cannot_run(error)
            }
        }
    }

    fn execute(&self, handover: &Handover) -> io::Result<std::convert::Infallible> {
        let file = format::write(handover)?;
        let all = format::descriptors_of(handover).chain([file.as_fd()]);
        descriptors::set_inherited(all, true)?;
        let variables = std::env::vars_os().filter(|(name, _)| name != VARIABLE);
        let environment = variables
            .map(|(name, value)| variable(&name, &value))
            .chain([variable(OsStr::new(VARIABLE), OsStr::new(&file.as_raw_fd().to_string()))]);
        let environment = environment.collect::<io::Result<Vec<_>>>()?;
        let arguments = self.arguments.iter().map(|argument| c_string(argument.as_bytes().to_vec()));
        let arguments = arguments.collect::<io::Result<Vec<_>>>()?;
        let path = c_string(self.path.as_os_str().as_bytes().to_vec())?;
        Ok(nix::unistd::execve(&path, &arguments, &environment)?)
    }

    fn cannot_run(&self, error: io::Error) -> ProgramError {
        ProgramError::Run { path: self.path.clone(), error }
    }
}

/// The process group of a program that this one has started. Killed when dropped.
struct ProcessGroup(Option<u32>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Fails if nobody is left, as usual.
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(leader.cast_signed()), Signal::SIGKILL);
        }
    }
}

/// Reads a pipe to its end, and returns its first bytes, at most [`MAX_SAID`].
async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(mut pipe) = pipe {
        // What cannot be read is not said.
        let _ = (&mut pipe).take(MAX_SAID).read_to_end(&mut said).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    said
}

/// Finds a program as a shell does. `None` if it is nowhere.
fn find(name: &OsStr, search: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    (!name.is_empty()).then(|| std::env::split_paths(search?).map(|folder| folder.join(name)).find(is_program))?
}

/// The options of `serve` among the process's arguments.
fn serve_arguments(arguments: &[OsString]) -> &[OsString] {
    match arguments {
        [_, first, rest @ ..] if first == "serve" => rest,
        [_, rest @ ..] => rest,
        [] => &[],
    }
}

fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut text = name.to_owned().into_vec();
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    c_string(text)
}

fn c_string(bytes: Vec<u8>) -> io::Result<CString> {
    CString::new(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(arguments: &[&str]) -> Vec<OsString> {
        arguments.iter().map(Into::into).collect()
    }

    #[test]
    fn the_options_of_serve_follow_the_subcommand_or_the_name() {
        for all in [&["headcount", "serve", "--drain", "1s"][..], &["headcount", "--drain", "1s"]] {
            assert_eq!(serve_arguments(&arguments(all)), arguments(&["--drain", "1s"]));
        }
        assert!(serve_arguments(&arguments(&["headcount"])).is_empty());
    }

    #[test]
    fn a_name_is_searched_for_and_a_path_is_kept() {
        let search = Some(OsStr::new("/nowhere:/bin:/usr/bin"));
        assert_eq!(find(OsStr::new("sh"), search), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find(OsStr::new("./sh"), search), Some(PathBuf::from("./sh")));
        assert_eq!(find(OsStr::new("no-such-program"), search), None);
        assert_eq!(find(OsStr::new("sh"), None), None);
    }

    #[tokio::test]
    async fn what_a_check_says_is_the_reason() {
        let program = |path: &str| Program { path: path.into(), arguments: arguments(&["headcount"]) };
        assert!(program("/bin/true").check().await.is_ok());
        let refused = program("/bin/false").check().await.expect_err("it fails");
        assert!(refused.to_string().contains("exit status: 1"), "{refused}");
        let missing = program("/no/such/program").check().await.expect_err("it is not there");
        assert!(missing.to_string().starts_with("/no/such/program cannot be run"), "{missing}");
    }

    #[tokio::test]
    async fn a_check_that_never_ends_is_killed_with_what_it_has_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, started) = (folder.path().join("program"), folder.path().join("started"));
        // It prints for ever, and so does a program that it has started.
        let script = format!("#!/bin/sh\nyes & echo $! > {}\nexec yes\n", started.display());
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a program");
        let program = Program { path, arguments: arguments(&["headcount"]) };
        let error = program.check_within(Duration::from_millis(500)).await.expect_err("it does not end");
        assert!(matches!(error, ProgramError::Hangs(_)), "{error}");
        let child = std::fs::read_to_string(started).expect("its child's number");
        let status = format!("/proc/{}/stat", child.trim());
        // Killed; somebody else waits for it.
        let is_gone = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..100 {
            if is_gone() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{status} lives");
    }
}
