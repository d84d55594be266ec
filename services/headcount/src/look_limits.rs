//! [`LookLimits`]: how many looks a node draws besides the default ones, and how many of them one client address may begin.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use headcount_presence::{AddressLimits, Network};
use parking_lot::Mutex;
use strum::{IntoStaticStr, VariantArray};

/// Most looks that one client address begins and that live at a time: every style, size and colour that one page may
/// sensibly combine. Looks that others have begun are free.
const MAX_ADDRESS_LOOKS: usize = 16;

/// The client address that began a look: a hash of it with a key of this process. The look may outlive the client's
/// stream, and the address itself may not be kept longer than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LookOwner(u64);

/// Why a viewer gets the default look instead of the one that it requested. In snake case, the value of the cause label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum LookRefusal {
    /// The node draws as many looks as it may.
    MaxLooks,
    /// The client's address has begun as many looks as it may.
    AddressLooks,
    /// Too many first pictures wait to be drawn.
    Drawing,
}

/// The limits and the looks that they admit.
#[derive(Debug)]
pub(crate) struct LookLimits {
    max_looks: usize,
    addresses: AddressLimits,
    owner_key: [u64; 2],
    admitted: Mutex<Admitted>,
}

#[derive(Debug, Default)]
struct Admitted {
    all: usize,
    by_owner: HashMap<LookOwner, usize>,
}

/// Counts a look until dropped.
#[derive(Debug)]
pub(crate) struct LookPermit {
    limits: Arc<LookLimits>,
    owner: LookOwner,
}

impl LookLimits {
    /// No limit of an address applies to those that `addresses` exempts.
    pub(crate) fn new(max_looks: usize, addresses: AddressLimits, owner_key: [u64; 2]) -> Arc<Self> {
        Arc::new(Self { max_looks, addresses, owner_key, admitted: Mutex::default() })
    }

    /// The secret that makes owners of addresses. Owners of one key can be compared.
    pub(crate) fn owner_key(&self) -> [u64; 2] {
        self.owner_key
    }

    /// Identifies a client address.
    pub(crate) fn owner(&self, client_ip: IpAddr) -> LookOwner {
        let mut hasher = DefaultHasher::new();
        (self.owner_key, Network::of(client_ip)).hash(&mut hasher);
        LookOwner(hasher.finish())
    }

    /// Counts a look that is live already, whatever the limits are now.
    pub(crate) fn restore(self: &Arc<Self>, owner: LookOwner) -> LookPermit {
        self.count(&mut self.admitted.lock(), owner)
    }

    fn count(self: &Arc<Self>, admitted: &mut Admitted, owner: LookOwner) -> LookPermit {
        admitted.all += 1;
        *admitted.by_owner.entry(owner).or_default() += 1;
        LookPermit { limits: Arc::clone(self), owner }
    }

    /// Counts another look that this address begins.
    ///
    /// # Errors
    /// Fails if a limit is reached.
    pub(crate) fn acquire(self: &Arc<Self>, client_ip: IpAddr) -> Result<LookPermit, LookRefusal> {
        let owner = self.owner(client_ip);
        let mut admitted = self.admitted.lock();
        let own = admitted.by_owner.get(&owner).copied().unwrap_or_default();
        if own >= MAX_ADDRESS_LOOKS && !self.addresses.exempts(client_ip) {
            return Err(LookRefusal::AddressLooks);
        }
        if admitted.all >= self.max_looks {
            return Err(LookRefusal::MaxLooks);
        }
        Ok(self.count(&mut admitted, owner))
    }
}

impl LookOwner {
    /// The owner with a number that [`number`](Self::number) has returned.
    pub(crate) const fn of_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number, for a program that takes over.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl LookPermit {
    /// Who began the look.
    pub(crate) fn owner(&self) -> LookOwner {
        self.owner
    }
}

impl Drop for LookPermit {
    fn drop(&mut self) {
        let mut admitted = self.limits.admitted.lock();
        admitted.all -= 1;
        if let Some(own) = admitted.by_owner.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                admitted.by_owner.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u64; 2] = [1, 2];

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_begins_a_few_looks_at_a_time() {
        let limits = LookLimits::new(100, AddressLimits::default(), KEY);
        let client = ip("203.0.113.1");
        let mut permits: Vec<LookPermit> =
            (0..MAX_ADDRESS_LOOKS).map(|_| limits.acquire(client).expect("within the limit")).collect();
        assert_eq!(limits.acquire(client).err(), Some(LookRefusal::AddressLooks));
        permits.push(limits.acquire(ip("203.0.113.2")).expect("another address"));
        permits.remove(0);
        assert!(limits.acquire(client).is_ok());
        let _exempt: Vec<LookPermit> =
            (0..60).map(|_| limits.acquire(ip("127.0.0.1")).expect("an exempt address")).collect();
        drop(permits);
        assert_eq!(limits.admitted.lock().by_owner.len(), 1, "an address without looks is forgotten");
    }

    #[test]
    fn the_node_has_a_limit_for_all() {
        let limits = LookLimits::new(2, AddressLimits::default(), KEY);
        let _permits = [ip("203.0.113.1"), ip("127.0.0.1")].map(|client| limits.acquire(client).expect("room"));
        assert_eq!(limits.acquire(ip("203.0.113.2")).err(), Some(LookRefusal::MaxLooks));
    }

    #[test]
    fn a_slash_64_is_one_owner() {
        let limits = LookLimits::new(2, AddressLimits::default(), KEY);
        assert_eq!(limits.owner(ip("2001:db8::1")), limits.owner(ip("2001:db8::2")));
        assert_ne!(limits.owner(ip("2001:db8::1")), limits.owner(ip("2001:db8:0:1::1")));
    }
}
