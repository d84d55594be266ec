//! What a new process needs to go on with the presence of a former one.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::history::recorder::Recorder;
use crate::local_viewers::LocalState;
use crate::redis::{RedisState, RedisUrl};
use crate::versions::Versions;
use crate::visitor::VisitorKey;

/// The presence of a process that was [paused](crate::Presence::pause), but for its registrations. Of use to the process
/// that goes on with it, for [`Presence::resume`](crate::Presence::resume). It holds the secret key of visitors' hashes:
/// never log or store it.
#[derive(Serialize, Deserialize)]
pub struct PresenceState {
    /// The id of the next viewer.
    pub(crate) next_viewer: u64,
    pub(crate) versions: Versions,
    pub(crate) backend: BackendState,
}

/// What depends on where viewers are counted.
#[derive(Serialize, Deserialize)]
pub(crate) enum BackendState {
    Embedded(EmbeddedState),
    Redis(Box<RedisState>),
}

/// What a process that counts by itself goes on with.
#[derive(Serialize, Deserialize)]
pub(crate) struct EmbeddedState {
    pub(crate) visitor_key: VisitorKey,
    /// The live counters, by name.
    pub(crate) counters: HashMap<String, LocalState>,
    /// The past of counters, by name.
    #[serde(default)]
    pub(crate) histories: Vec<(String, Recorder)>,
}

impl PresenceState {
    /// For a process that goes on with none.
    pub(crate) fn new() -> PresenceState {
        PresenceState {
            next_viewer: 0,
            versions: Versions::of_this_process(),
            backend: BackendState::Embedded(EmbeddedState::new(VisitorKey::random())),
        }
    }

    /// For a process that counts by itself. Begins anew, but with the same visitors, if the former one did not.
    pub(crate) fn into_embedded(self) -> (Versions, EmbeddedState) {
        match self.backend {
            BackendState::Embedded(state) => (self.versions, state),
            BackendState::Redis(state) => (Versions::of_this_process(), EmbeddedState::new(state.visitor_key())),
        }
    }

    /// For a process that counts in this Redis. Begins anew, but with the same visitors, if the former one counted by
    /// itself or under other keys.
    pub(crate) fn into_redis(self, url: &RedisUrl, settings: &Settings) -> (Versions, RedisState) {
        let (key, state) = match self.backend {
            BackendState::Redis(state) => (state.visitor_key(), state.at(url, settings)),
            BackendState::Embedded(state) => (state.visitor_key, None),
        };
        match state {
            Some(state) => (self.versions, state),
            None => (Versions::new(0), RedisState::new(url, settings, key)),
        }
    }
}

impl EmbeddedState {
    fn new(visitor_key: VisitorKey) -> EmbeddedState {
        EmbeddedState { visitor_key, counters: HashMap::new(), histories: Vec::new() }
    }
}

impl fmt::Debug for PresenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceState").finish_non_exhaustive()
    }
}
