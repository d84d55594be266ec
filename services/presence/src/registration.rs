//! A viewer's place at a counter.

use std::fmt;
use std::sync::Arc;

use crate::Counter;
use crate::counter::Live;
use crate::local_viewers::ViewerId;
use crate::network::Network;
use crate::visitor::Visitor;

/// One viewer's place: counts from [`take`](Registration::start_counting) until it is dropped, and until then is one of the streams that its
/// address may have.
///
/// Neither waits for Redis, nor needs an async context: a shard's thread takes and drops registrations.
pub struct Registration {
    live: Arc<Live>,
    viewer: ViewerId,
    visitor: Visitor,
    network: Network,
}

impl Registration {
    /// A registration for a viewer who has entered the gate.
    pub(crate) fn new(counter: &Counter, viewer: ViewerId, visitor: Visitor, network: Network) -> Registration {
        Registration { live: Arc::clone(&counter.0), viewer, visitor, network }
    }

    /// The viewer has its first bytes: it counts, at once or after the [grace](crate::Settings::grace).
    /// Taking a registration again changes nothing.
    pub fn start_counting(&mut self) {
        self.live.book.grace.take(&self.live.roll, self.viewer, self.visitor);
        #[cfg(feature = "planted-mistakes")]
        crate::planted_bugs::after_take(&self.live.roll, self.viewer, self.visitor);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        #[cfg(feature = "planted-mistakes")]
        if crate::planted_bugs::loses_leave(self.viewer) {
            return;
        }
        self.live.roll.leave(self.viewer);
        self.live.book.gate.leave(self.network, self.viewer);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("counter", &self.live.roll.name).field("viewer", &self.viewer.0).finish()
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
