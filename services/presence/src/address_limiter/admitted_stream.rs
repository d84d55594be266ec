//! [`AdmittedStream`]: a stream that the limiter has admitted, until it is registered.

use std::net::IpAddr;

use super::{AddressClass, AddressLimiter};
use crate::network::Network;
use crate::viewer_id::ViewerId;
use crate::{AdmissionError, CounterName};

/// A stream of an address. Dropping it releases it: it was refused after all, or its client has gone.
pub(crate) struct AdmittedStream<'a> {
    limiter: &'a AddressLimiter,
    network: Network,
    viewer: ViewerId,
}

impl<'a> AdmittedStream<'a> {
    /// Admits a stream if the node's own figures allow it.
    pub(crate) fn admit(
        limiter: &'a AddressLimiter,
        address: IpAddr,
        counter: &CounterName,
    ) -> Result<(AdmittedStream<'a>, AddressClass), AdmissionError> {
        let (viewer, class) = limiter.admit(address, counter)?;
        Ok((AdmittedStream { limiter, network: Network::of(address), viewer }, class))
    }

    pub(crate) fn network(&self) -> Network {
        self.network
    }

    pub(crate) fn viewer(&self) -> ViewerId {
        self.viewer
    }

    /// Returns the address and the viewer, which the caller releases in the end.
    pub(crate) fn into_parts(self) -> (Network, ViewerId) {
        let parts = (self.network, self.viewer);
        std::mem::forget(self);
        parts
    }
}

impl Drop for AdmittedStream<'_> {
    fn drop(&mut self) {
        self.limiter.release(self.network, self.viewer);
    }
}
