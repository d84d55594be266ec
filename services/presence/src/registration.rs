//! The registration of one viewer at a counter.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::Counter;
use crate::address_limiter::StreamState;
use crate::counter_registry::LiveCounter;
use crate::local_viewers::Removal;
use crate::monotonic;
use crate::network::Network;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

/// One viewer's registration. It counts from [`start_counting`](Registration::start_counting) until it is dropped.
/// From the start it is one of the streams that its address may have. Where the address is damped, because it joins
/// or leaves more than four times in 10 s, its joins and leaves take effect up to 10 s later.
///
/// No call waits for Redis or needs an async context: a shard's thread starts, detaches and drops registrations.
pub struct Registration {
    /// `None` once it is detached.
    counter: Option<Arc<LiveCounter>>,
    viewer: ViewerId,
    visitor: Visitor,
    network: Network,
}

/// A registration that was [detached](Registration::detach) from its process. Of use to the process that takes the viewer
/// over, for [`Presence::restore`](crate::Presence::restore). It holds the client's address: never log or store it.
#[derive(Serialize, Deserialize)]
pub struct RegistrationState {
    pub(crate) viewer: ViewerId,
    pub(crate) visitor: Visitor,
    pub(crate) network: Network,
    pub(crate) stream: StreamState,
    pub(crate) stage: Stage,
}

/// How far a registration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// The viewer has not received its first bytes.
    New,
    /// It counts from `due` on: its join is delayed.
    Pending {
        #[serde(with = "monotonic")]
        due: Instant,
    },
    /// It counts.
    Counted,
}

impl Registration {
    /// The registration of a viewer that the address limiter knows.
    pub(crate) fn new(counter: Arc<LiveCounter>, viewer: ViewerId, visitor: Visitor, network: Network) -> Registration {
        Registration { counter: Some(counter), viewer, visitor, network }
    }

    /// Called when the viewer has received its first bytes: it counts now, or after the
    /// [grace period](crate::Settings::grace), or after 10 s if its address is damped. Further calls change nothing.
    pub fn start_counting(&mut self) {
        self.start_counting_after(Duration::ZERO);
    }

    /// Does the same, but not before this time has passed: the viewer still counts as another one somewhere.
    pub fn start_counting_after(&mut self, time: Duration) {
        let Some(counter) = &self.counter else { return };
        let local_viewers = &counter.local_viewers;
        counter.registry.change_schedule.join(local_viewers, self.viewer, self.visitor, self.network, time);
        #[cfg(feature = "planted-mistakes")]
        crate::planted_bugs::after_start(local_viewers, self.viewer, self.visitor);
    }

    /// The counter that it is at.
    pub fn counter(&self) -> Counter {
        Counter(Arc::clone(self.counter.as_ref().expect("a registration that is not detached has its counter")))
    }

    /// The network of the viewer's address.
    pub fn network(&self) -> Network {
        self.network
    }

    /// Whose stream it is.
    pub fn visitor(&self) -> Visitor {
        self.visitor
    }

    /// Takes the registration out of this process without its viewer leaving: a new process goes on with it. Another
    /// handle of the counter must be held until [`Presence::pause`](crate::Presence::pause) has returned.
    pub fn detach(mut self) -> RegistrationState {
        let Registration { viewer, visitor, network, .. } = self;
        let (mut stream, mut stage) = (StreamState::Exempt, Stage::New);
        if let Some(counter) = self.counter.take() {
            let LiveCounter { local_viewers, registry } = &*counter;
            stream = registry.limiter.stream_state(network, viewer);
            stage = match registry.change_schedule.cancel(local_viewers, viewer) {
                Removal::Unknown => Stage::New,
                Removal::Cancelled { due } => Stage::Pending { due },
                Removal::Counted => Stage::Counted,
            };
        }
        RegistrationState { viewer, visitor, network, stream, stage }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(counter) = &self.counter else { return };
        #[cfg(feature = "planted-mistakes")]
        if crate::planted_bugs::loses_leave(self.viewer) {
            return;
        }
        let LiveCounter { local_viewers, registry } = &**counter;
        registry.change_schedule.leave(local_viewers, self.viewer, self.network);
        registry.limiter.release(self.network, self.viewer);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.counter.as_ref().map(|counter| &counter.local_viewers.name);
        f.debug_struct("Registration").field("counter", &name).field("viewer", &self.viewer.0).finish()
    }
}

impl fmt::Debug for RegistrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationState").field("viewer", &self.viewer.0).field("stage", &self.stage).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_small() {
        assert!(size_of::<Registration>() <= 32);
    }
}
