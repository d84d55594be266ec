//! [`RequestLimits`]: how many requests may be in progress. Each holds a descriptor and memory while it waits, for a picture or
//! for Redis.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use headcount_presence::{AddressLimits, Network};
use parking_lot::Mutex;

use crate::http::error::HttpError;

/// Most requests in progress of one client address, unless it may have more streams. By default it may have as many.
const MIN_ADDRESS_REQUESTS: usize = 128;

/// The limits, and the requests in progress.
pub(super) struct RequestLimits {
    /// Most requests in progress and viewers together: each needs a descriptor.
    max: usize,
    /// Returns the number of viewers.
    viewers: Box<dyn Fn() -> usize + Send + Sync>,
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
pub(super) struct RequestPermit {
    limits: Arc<RequestLimits>,
    /// The client's address if a limit applies to it.
    address: Option<Network>,
}

impl RequestLimits {
    /// `max` bounds the requests in progress and the `viewers` together.
    pub(super) fn new(
        max: usize,
        addresses: AddressLimits,
        viewers: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { max, viewers: Box::new(viewers), addresses, requests: Mutex::default() })
    }

    /// Counts a request that begins.
    ///
    /// # Errors
    /// Fails if a limit is reached.
    pub(super) fn begin(self: &Arc<Self>, client_ip: IpAddr) -> Result<RequestPermit, HttpError> {
        let address = (!self.addresses.exempts(client_ip)).then(|| Network::of(client_ip));
        let viewers = (self.viewers)();
        let mut requests = self.requests.lock();
        if requests.all + viewers >= self.max {
            return Err(HttpError::Requests);
        }
        if let Some(address) = address {
            let own = requests.by_address.entry(address).or_default();
            if *own >= self.addresses.in_all.max(MIN_ADDRESS_REQUESTS) {
                return Err(HttpError::AddressRequests);
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
        let limits = RequestLimits::new(3, AddressLimits::default(), move || count.load(Ordering::Relaxed));
        let permits = [(); 3].map(|()| limits.begin(ip("127.0.0.1")).unwrap_or_else(|_| panic!("room")));
        assert!(matches!(limits.begin(ip("203.0.113.1")), Err(HttpError::Requests)));
        drop(permits);
        viewers.store(3, Ordering::Relaxed);
        assert!(matches!(limits.begin(ip("203.0.113.1")), Err(HttpError::Requests)));
        viewers.store(2, Ordering::Relaxed);
        assert!(limits.begin(ip("203.0.113.1")).is_ok());
        assert!(limits.requests.lock().by_address.is_empty(), "an address without requests is forgotten");
    }

    #[test]
    fn an_address_has_a_limit_unless_it_is_exempt() {
        let limits = RequestLimits::new(1000, AddressLimits::default(), || 0);
        let begin = |client: &str, count: usize| -> Vec<RequestPermit> {
            (0..count).map_while(|_| limits.begin(ip(client)).ok()).collect()
        };
        let permits = begin("203.0.113.1", 200);
        assert_eq!(permits.len(), MIN_ADDRESS_REQUESTS);
        assert!(matches!(limits.begin(ip("203.0.113.1")), Err(HttpError::AddressRequests)));
        assert_eq!(begin("203.0.113.2", 100).len(), 100);
        assert_eq!(begin("127.0.0.1", 200).len(), 200);
        drop(permits);
        assert_eq!(begin("203.0.113.1", 100).len(), 100);
    }
}
