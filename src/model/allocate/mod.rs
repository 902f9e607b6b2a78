//! Cluster IPs and node ports, given out as the Kubernetes API server does.
//!
//! Owns the choice of every address and port that a manifest leaves open, and the refusal of those
//! it must not have. Pure: the same Services, [`Ranges`] and [`Allocations`] of an earlier run give
//! the same result on every machine. Must not read manifests, files or the kernel.
//!
//! # Who gets what first
//!
//! 1. **Fixed**: what a manifest asks for by value, for all Services.
//! 2. **Remembered**: what an earlier run gave, if it is still valid and free. A fixed request never
//!    takes it away from a Service that is still there: that is a conflict, as on the API server.
//! 3. **New**: chosen in the order of namespace and name.
//!
//! # Where a new value comes from
//!
//! A range has a static band at its low end, for people who choose values by hand, and a dynamic
//! band above it ([KEP-3070]). The API server starts at a random place in the dynamic band, scans
//! upwards with wrap, and falls back to the static band. portolan does the same from a place that is
//! a SHA-256 hash of the Service's name, so nodes that read the same manifests agree on every
//! address although they never speak to each other.
//!
//! [KEP-3070]: https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/3070-reserved-service-ip-range

mod addresses;
mod balancers;
mod error;
mod families;
mod held;
mod ledger;
mod pool;
mod ports;
mod range;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use balancers::{AddressRange, BALANCER_CLASS, Unserved, give_balancers, unserved_balancers};
pub use error::AllocationError;
pub use ledger::{AllocationChanges, Ledger};
pub(crate) use pool::stable_hash;
pub use range::{RangeError, Ranges};
pub use record::{Allocations, NamedRecord, NodePortAllocation, ServiceAllocation};

use super::{NamespacedName, Service};

/// Fills in the families, cluster IPs, node ports and health-check node ports of all Services.
///
/// `previous` is what an earlier call returned; what it holds for Services that are gone is
/// released. Services are expected to have passed the API's own validation.
///
/// Fields that a Service's type cannot have (node ports of a `ClusterIP`, cluster IPs of a headless
/// Service) are cleared: the type released them.
///
/// # Errors
///
/// Everything wrong with any of the Services, in the API server's words. The Services are then as
/// they were.
pub fn allocate(
    services: &mut BTreeMap<NamespacedName, Service>,
    ranges: &Ranges,
    previous: &Allocations,
) -> Result<Allocations, Vec<AllocationError>> {
    let chosen = {
        let inputs = inputs(services, previous);
        Ledger::new(ranges.clone()).choose(&inputs)?
    };
    for (service, chosen) in services.values_mut().zip(chosen) {
        chosen.apply(service);
    }
    Ok(services
        .iter()
        .filter_map(|(name, service)| Some((name.clone(), ServiceAllocation::of(service)?)))
        .collect())
}

/// A Service with what an earlier run gave it.
struct Input<'a> {
    name: &'a NamespacedName,
    service: &'a Service,
    remembered: Option<&'a ServiceAllocation>,
}

fn inputs<'a>(
    services: &'a BTreeMap<NamespacedName, Service>,
    previous: &'a Allocations,
) -> Vec<Input<'a>> {
    services
        .iter()
        .map(|(name, service)| Input {
            name,
            service,
            remembered: previous.get(name),
        })
        .collect()
}
