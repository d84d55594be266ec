//! What a new process needs to go on with the counters of a node.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::clock::ClockReading;
use super::counter_view::Known;
use super::sessions::Sessions;
use crate::local_viewers::LocalState;

/// What a new process needs to go on with one counter.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct CounterState {
    /// Always present, but for a counter that is new.
    pub(super) local: Option<LocalState>,
    pub(super) view: Known,
    pub(super) sessions: Sessions,
    pub(super) last_reply: Option<ClockReading>,
    pub(super) epoch: u64,
}

/// The states of counters that no reporter of this process has: a former process's until they are taken, and its own once
/// it is paused.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct CounterStates {
    live: HashMap<String, CounterState>,
    /// Counters that are not live, but have sessions that are still to be ended.
    closed: Vec<(String, CounterState)>,
}

impl CounterStates {
    /// Adds the state of a counter that is live.
    pub(super) fn put_live(&mut self, name: String, state: CounterState) {
        if let Some(replaced) = self.live.insert(name.clone(), state) {
            self.put_closed(name, replaced);
        }
    }

    /// Adds the state of a counter that is not live.
    pub(super) fn put_closed(&mut self, name: String, state: CounterState) {
        if !state.sessions.are_none() {
            self.closed.push((name, state));
        }
    }

    /// Keeps the sessions, and forgets what was read but when that was: another address of Redis may mean another one.
    pub(super) fn forget_replies(&mut self) {
        for state in self.live.values_mut().chain(self.closed.iter_mut().map(|(_, state)| state)) {
            (state.view, state.epoch) = (state.view.at_another_address(), 0);
        }
    }

    /// Takes the state of a live counter.
    pub(super) fn take(&mut self, name: &str) -> Option<CounterState> {
        self.live.remove(name)
    }

    /// Takes the states of all counters that have sessions and are not live.
    pub(super) fn take_rest(&mut self) -> Vec<(String, CounterState)> {
        let CounterStates { live, mut closed } = std::mem::take(self);
        closed.extend(live.into_iter().filter(|(_, state)| !state.sessions.are_none()));
        closed
    }
}
