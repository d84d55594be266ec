//! Real processes to test with, on free ports: Redis alone, under Sentinel or in a cluster, nodes of the service, and
//! a proxy that spoils what goes between them. All are killed when they are dropped.

mod cluster;
pub mod http;
mod node;
pub mod ports;
mod process;
pub mod program;
pub mod proxy;
mod redis;
pub mod resp;
mod sentinel;
pub mod usage;

use std::{io, path::PathBuf, time::Duration};

pub use cluster::RedisCluster;
pub use node::{Node, NodeOptions, Reading};
pub use process::{Process, kill_all};
pub use proxy::Proxy;
pub use redis::{Data, RedisServer};
pub use sentinel::Sentinels;
pub use usage::Usage;

/// Why the rig could not do something.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
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

impl RigError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
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
) -> Result<T, RigError> {
    let begun = std::time::Instant::now();
    loop {
        match met() {
            Ok(value) => return Ok(value),
            Err(error) if begun.elapsed() > within => {
                return Err(RigError::TooLate { what: what.into(), within, heard: error.to_string() });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
