//! [`RequestLimits`]: how many requests may be in progress. Each holds a descriptor and memory while it waits, for a picture or
//! for Redis.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use headcount_presence::{AddressLimits, Network};
use parking_lot::Mutex;

/// Too many requests are in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManyRequests {
    /// Of all clients together.
    #[error("too many requests are in progress")]
    OfAll,
    /// Of the client's address.
    #[error("too many requests of the address are in progress")]
    OfAddress,
}

/// The limits, and the requests in progress.
pub struct RequestLimits {
    /// Most requests in progress and viewers together: each needs a descriptor.
    max: usize,
    /// Returns the number of viewers.
    viewers: Box<dyn Fn() -> usize + Send + Sync>,
    /// Most requests in progress of one address.
    max_of_address: usize,
    addresses: AddressLimits,
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    all: usize,
    /// Of addresses that a limit applies to.
    by_address: HashMap<Network, usize>,
}

/// A request in progress, until dropped.
pub struct RequestPermit {
    limits: Arc<RequestLimits>,
    /// The client's address if a limit applies to it.
    address: Option<Network>,
}

impl RequestLimits {
    /// `max` bounds the requests in progress and the `viewers` together, `max_of_address` those in progress of an address that is
    /// not exempt.
    pub fn new(
        max: usize,
        max_of_address: usize,
        addresses: AddressLimits,
        viewers: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { max, viewers: Box::new(viewers), max_of_address, addresses, requests: Mutex::default() })
    }

    /// Counts a request that begins.
    ///
    /// # Errors
    /// Fails if a limit is reached.
    pub fn begin(self: &Arc<Self>, client_ip: IpAddr) -> Result<RequestPermit, TooManyRequests> {
        let address = (!self.addresses.exempts(client_ip)).then(|| Network::of(client_ip));
        let viewers = (self.viewers)();
        let mut requests = self.requests.lock();
        if requests.all + viewers >= self.max {
            return Err(TooManyRequests::OfAll);
        }
        if let Some(address) = address {
            let own = requests.by_address.entry(address).or_default();
            if *own >= self.max_of_address {
                return Err(TooManyRequests::OfAddress);
            }
            *own += 1;
        }
        requests.all += 1;
        Ok(RequestPermit { limits: Arc::clone(self), address })
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        let mut requests = self.limits.requests.lock();
        requests.all -= 1;
        if let Some(address) = self.address
            && let Some(own) = requests.by_address.get_mut(&address)
        {
            *own -= 1;
            if *own == 0 {
                requests.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn requests_and_viewers_share_a_limit() {
        let viewers = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&viewers);
        let limits = RequestLimits::new(3, 128, AddressLimits::default(), move || count.load(Ordering::Relaxed));
        let permits = [(); 3].map(|()| limits.begin(ip("127.0.0.1")).unwrap_or_else(|_| panic!("room")));
        assert!(matches!(limits.begin(ip("203.0.113.1")), Err(TooManyRequests::OfAll)));
        drop(permits);
        viewers.store(3, Ordering::Relaxed);
        assert!(matches!(limits.begin(ip("203.0.113.1")), Err(TooManyRequests::OfAll)));
        viewers.store(2, Ordering::Relaxed);
        assert!(limits.begin(ip("203.0.113.1")).is_ok());
        assert!(limits.requests.lock().by_address.is_empty(), "an address without requests is forgotten");
    }

    #[test]
    fn an_address_has_a_limit_unless_it_is_exempt() {
        let limits = RequestLimits::new(1000, 128, AddressLimits::default(), || 0);
        let begin = |client: &str, count: usize| -> Vec<RequestPermit> {
            (0..count).map_while(|_| limits.begin(ip(client)).ok()).collect()
        };
        let permits = begin("203.0.113.1", 200);
        assert_eq!(permits.len(), 128);
        assert!(matches!(limits.begin(ip("203.0.113.1")), Err(TooManyRequests::OfAddress)));
        assert_eq!(begin("203.0.113.2", 100).len(), 100);
        assert_eq!(begin("127.0.0.1", 200).len(), 200);
        drop(permits);
        assert_eq!(begin("203.0.113.1", 100).len(), 100);
    }
}
