//! Why a call of Redis has no answer, and what helps against that.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::metrics::Failure;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// There is no connection now.
    #[error("Redis is away")]
    Away,
    /// Redis did not answer in time; whether it did what was asked is unknown.
    #[error("Redis did not answer in time")]
    Timeout,
    /// Redis refused, or the connection broke.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// The answer is not one of our scripts'.
    #[error("Redis gave an answer of an unknown form")]
    Form,
}

impl CallError {
    /// What it counts as in metrics.
    pub(super) fn failure(&self) -> Failure {
        match self {
            CallError::Away => Failure::Away,
            CallError::Timeout => Failure::Timeout,
            CallError::Redis(error) if Recovery::of(error) == Recovery::OtherConnection => Failure::Connection,
            CallError::Redis(_) => Failure::Refused,
            CallError::Form => Failure::Form,
        }
    }
}

/// What helps against an error.
#[derive(PartialEq, Eq)]
pub(super) enum Recovery {
    /// Time, or another attempt: the script is only to be loaded, or a slot of the cluster is on its way.
    None,
    /// Another connection, perhaps to another server.
    OtherConnection,
    /// Somebody: Redis answers, but refuses, for want of memory or of permission.
    Operator,
}

impl Recovery {
    pub(super) fn of(error: &RedisError) -> Recovery {
        use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, NoScript, ReadOnly, TryAgain};
        match error.kind() {
            ErrorKind::Server(NoScript | TryAgain | Moved | Ask) => Recovery::None,
            ErrorKind::Server(ReadOnly | BusyLoading | MasterDown | ClusterDown) => Recovery::OtherConnection,
            ErrorKind::Server(_) | ErrorKind::Extension => Recovery::Operator,
            _ => Recovery::OtherConnection,
        }
    }
}
