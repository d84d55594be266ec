//! Why a call to Redis failed, and how to recover.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::metrics::Failure;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// There is no connection.
    #[error("Redis is away")]
    Away,
    /// No reply in time. Whether Redis has executed the call is unknown.
    #[error("Redis did not answer in time")]
    Timeout,
    /// Redis refused the call, or the connection broke.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// The reply has an unknown form.
    #[error("Redis gave an answer of an unknown form")]
    Form,
}

impl CallError {
    /// Whether Redis has refused the call for want of memory: nothing of it is applied.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, CallError::Redis(error) if error.code() == Some("OOM"))
    }

    /// Whether Redis may have executed the call: it was sent, and Redis did not answer that it does not execute it.
    pub(super) fn may_be_applied(&self) -> bool {
        match self {
            CallError::Away => false,
            CallError::Redis(error) => Recovery::of(error) == Recovery::Reconnect,
            CallError::Timeout | CallError::Form => true,
        }
    }

    /// Whether Redis has not answered, so that another attempt may succeed.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.failure(), Failure::Away | Failure::Timeout | Failure::Connection)
    }

    /// The cause that metrics count it under.
    pub(super) fn failure(&self) -> Failure {
        match self {
            CallError::Away => Failure::Away,
            CallError::Timeout => Failure::Timeout,
            CallError::Redis(error) if Recovery::of(error) == Recovery::Reconnect => Failure::Connection,
            CallError::Redis(_) => Failure::Refused,
            CallError::Form => Failure::Form,
        }
    }
}

/// What recovers from an error.
#[derive(PartialEq, Eq)]
pub(super) enum Recovery {
    /// Another attempt: the script is not loaded, or a slot of the cluster is being moved.
    Retry,
    /// Another connection, perhaps to another server.
    Reconnect,
    /// An operator: Redis answers and refuses, because it has no memory or the user has no permission.
    Operator,
}

impl Recovery {
    pub(super) fn of(error: &RedisError) -> Recovery {
        use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, NoScript, ReadOnly, TryAgain};
        match error.kind() {
            ErrorKind::Server(NoScript | TryAgain | Moved | Ask) => Recovery::Retry,
            ErrorKind::Server(ReadOnly | BusyLoading | MasterDown | ClusterDown) => Recovery::Reconnect,
            ErrorKind::Server(_) | ErrorKind::Extension => Recovery::Operator,
            _ => Recovery::Reconnect,
        }
    }
}
