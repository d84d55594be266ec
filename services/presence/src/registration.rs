//! The registration of one viewer at a counter.

use std::fmt;
use std::sync::Arc;

use crate::counter_registry::LiveCounter;
use crate::network::Network;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

/// One viewer's registration. It counts from [`start_counting`](Registration::start_counting) until it is dropped.
/// From the start it is one of the streams that its address may have. Where the address is damped, because it joins
/// or leaves more than four times in 10 s, its joins and leaves take effect up to 10 s later.
///
/// Neither call waits for Redis or needs an async context: a shard's thread starts and drops registrations.
pub struct Registration {
    counter: Arc<LiveCounter>,
    viewer: ViewerId,
    visitor: Visitor,
    network: Network,
}

impl Registration {
    /// The registration of a viewer that the address limiter has admitted.
    pub(crate) fn new(counter: Arc<LiveCounter>, viewer: ViewerId, visitor: Visitor, network: Network) -> Registration {
        Registration { counter, viewer, visitor, network }
    }

    /// Called when the viewer has received its first bytes: it counts now, or after the
    /// [grace period](crate::Settings::grace), or after 10 s if its address is damped. Further calls change nothing.
    pub fn start_counting(&mut self) {
        let local_viewers = &self.counter.local_viewers;
        self.counter.registry.change_schedule.join(local_viewers, self.viewer, self.visitor, self.network);
        #[cfg(feature = "planted-mistakes")]
        crate::planted_bugs::after_start(local_viewers, self.viewer, self.visitor);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        #[cfg(feature = "planted-mistakes")]
        if crate::planted_bugs::loses_leave(self.viewer) {
            return;
        }
        let LiveCounter { local_viewers, registry } = &*self.counter;
        registry.change_schedule.leave(local_viewers, self.viewer, self.network);
        registry.limiter.release(self.network, self.viewer);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.counter.local_viewers.name;
        f.debug_struct("Registration").field("counter", name).field("viewer", &self.viewer.0).finish()
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
