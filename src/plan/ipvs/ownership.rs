//! Whose a virtual server is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::server::{Present, ServerKey};

/// How to tell which of the kernel's virtual servers are ours.
#[derive(Clone, Copy)]
pub struct Ownership<'a> {
    /// Those that are recorded as ours, beside all on addresses of the dummy device.
    pub recorded: &'a BTreeSet<ServerKey>,
    /// Addresses that are never touched.
    pub excluded: &'a [IpNet],
    /// Virtual servers of another proxy that are to be taken over.
    pub taken_over: &'a dyn Fn(&ServerKey) -> bool,
}

impl Ownership<'_> {
    /// The address is not to be touched.
    #[must_use]
    pub fn excludes(&self, address: IpAddr) -> bool {
        self.excluded.iter().any(|net| net.contains(&address))
    }

    /// A virtual server that is in the kernel may be changed and deleted.
    #[must_use]
    pub fn owns(&self, key: &ServerKey, present: &Present) -> bool {
        !self.excludes(key.address)
            && (self.recorded.contains(key)
                || present.addresses.contains(&key.address)
                || (self.taken_over)(key))
    }
}

impl std::fmt::Debug for Ownership<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ownership")
            .field("recorded", &self.recorded.len())
            .field("excluded", &self.excluded)
            .finish_non_exhaustive()
    }
}
