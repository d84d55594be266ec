//! [`Error`]: why a process, a socket or a server of a test failed; [`wait_until`] waits for a condition.

use std::{io, path::PathBuf, time::Duration};

use crate::program;

/// Why a process, a socket or a server of a test failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program was not found.
    #[error(transparent)]
    Program(#[from] program::ProgramError),
    /// A process could not be started.
    #[error("cannot start {program:?}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A condition was not met in time: a process did not become ready, or did not end.
    #[error("{what} not within {within:?}; last heard: {heard}")]
    TooLate {
        /// What was awaited.
        what: String,
        /// How long.
        within: Duration,
        /// The last error of the condition.
        heard: String,
    },
    /// Files, sockets or signals failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// Redis replied with an error, or with a value of another type.
    #[error("Redis replied to {command}: {answer}")]
    Redis {
        /// The command.
        command: String,
        /// The answer.
        answer: String,
    },
    /// A node answered with another status than 200, or with malformed JSON.
    #[error("{url} answered {status}: {body}")]
    Answer {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Calls `met` every 5 ms until it succeeds, and returns its value.
///
/// # Errors
/// If the time runs out; with `met`'s last error.
pub fn wait_until<T, E: std::fmt::Display>(
    what: &str,
    within: Duration,
    mut met: impl FnMut() -> Result<T, E>,
) -> Result<T, Error> {
    let begun = std::time::Instant::now();
    loop {
        match met() {
            Ok(value) => return Ok(value),
            Err(error) if begun.elapsed() > within => {
                return Err(Error::TooLate { what: what.into(), within, heard: error.to_string() });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
