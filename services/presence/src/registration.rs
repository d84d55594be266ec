//! A viewer's place at a counter.

use std::fmt;
use std::sync::Arc;

use crate::Counter;
use crate::counter::LiveCounter;
use crate::local_viewers::ViewerId;
use crate::network::Network;
use crate::visitor::Visitor;

/// One viewer's place: counts from [`take`](Registration::start_counting) until it is dropped, and until then is one of the streams that its
/// address may have.
///
/// Neither waits for Redis, nor needs an async context: a shard's thread takes and drops registrations.
pub struct Registration {
    live: Arc<LiveCounter>,
    viewer: ViewerId,
    visitor: Visitor,
    network: Network,
}

impl Registration {
    /// A registration for a viewer who has admitted the limiter.
    pub(crate) fn new(counter: &Counter, viewer: ViewerId, visitor: Visitor, network: Network) -> Registration {
        Registration { live: Arc::clone(&counter.0), viewer, visitor, network }
    }

    /// The viewer has its first bytes: it counts, at once or after the [grace](crate::Settings::grace).
    /// Taking a registration again changes nothing.
    pub fn start_counting(&mut self) {
        self.live.registry.grace.take(&self.live.local_viewers, self.viewer, self.visitor);
        #[cfg(feature = "planted-mistakes")]
        crate::planted_bugs::after_take(&self.live.local_viewers, self.viewer, self.visitor);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        #[cfg(feature = "planted-mistakes")]
        if crate::planted_bugs::loses_leave(self.viewer) {
            return;
        }
        self.live.local_viewers.leave(self.viewer);
        self.live.registry.limiter.leave(self.network, self.viewer);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("counter", &self.live.local_viewers.name)
            .field("viewer", &self.viewer.0)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_small() {
        assert!(size_of::<Registration>() <= 32);
    }
}
