//! [`Error`]: why a process, a socket or a server of a test failed; [`wait_until`] waits for a condition.

use std::{io, path::PathBuf, time::Duration};

use crate::program;

/// Why the rig could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not to be found.
    #[error(transparent)]
    Program(#[from] program::ProgramError),
    /// A process could not be started.
    #[error("cannot start {program:?}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A process did not come to be ready, or did not end.
    #[error("{what} not within {within:?}; last heard: {heard}")]
    TooLate {
        /// What was awaited.
        what: String,
        /// How long.
        within: Duration,
        /// The last that was heard of it.
        heard: String,
    },
    /// Files, sockets or signals failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// Redis answered with an error, or with nonsense.
    #[error("Redis says to {command}: {answer}")]
    Redis {
        /// The command.
        command: String,
        /// The answer.
        answer: String,
    },
    /// A node answered with another status than 200, or with nonsense.
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

/// Waits until `met` gives something, asking it again and again.
///
/// # Errors
/// If the time runs out: `what` was awaited, and `met`'s last error.
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
