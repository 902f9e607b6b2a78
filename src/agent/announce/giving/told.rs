//! What people are told about Services without an address, or with one that is of no use. Each
//! thing once, until it is over.

use std::collections::BTreeSet;

use super::ask::Listed;
use crate::model::NamespacedName;
use crate::model::allocate::{AddressRange, Unserved};

#[derive(Debug, Default)]
pub(super) struct Told {
    used_up: bool,
    no_range: bool,
    strays: BTreeSet<NamespacedName>,
    failure: Option<String>,
}

impl Told {
    pub(super) fn unserved(&mut self, unserved: &Unserved) {
        if let ([first, ..], false) = (unserved.used_up.as_slice(), self.used_up) {
            let services = unserved.used_up.len();
            tracing::warn!(services, %first, "no address of --lb-pool is left for them");
        }
        if let ([first, ..], false) = (unserved.no_range.as_slice(), self.no_range) {
            let services = unserved.no_range.len();
            tracing::warn!(services, %first, "--lb-pool has no range of their IP family");
        }
        self.used_up = !unserved.used_up.is_empty();
        self.no_range = !unserved.no_range.is_empty();
    }

    /// Addresses of an earlier pool.
    pub(super) fn strays(&mut self, listed: &Listed, pools: &[AddressRange]) {
        let strays = listed.strays(pools);
        for service in strays.difference(&self.strays) {
            tracing::warn!(
                %service,
                "has an address that portolan gave and that is not in --lb-pool any more: nobody \
                 answers for it. To have it given another: kubectl patch service {} -n {} \
                 --subresource=status --type=merge -p '{{\"status\":{{\"loadBalancer\":null}}}}'",
                service.name, service.namespace
            );
        }
        self.strays = strays;
    }

    pub(super) fn failed(&mut self, failure: &str) {
        if self.failure.as_deref() != Some(failure) {
            tracing::warn!("addresses of --lb-pool cannot be given: {failure}");
            self.failure = Some(failure.to_owned());
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failure = None;
    }
}
