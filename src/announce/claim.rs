//! What a Service asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::allocate::{AddressRange, BALANCER_CLASS};
use crate::model::{
    EndpointSlice, IngressMode, NamespacedName, Service, ServiceType, Snapshot, TrafficPolicy,
};

/// Addresses that somebody is to answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Those out of `--lb-pool`: given by portolan, or by whoever wrote the Service's status.
    pub addresses: Vec<IpAddr>,
    /// Which nodes would do.
    pub nodes: Where,
}

/// Which nodes would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// Every node sends packets on to a ready endpoint.
    Anywhere,
    /// Those with a ready endpoint: `externalTrafficPolicy: Local`.
    On(BTreeSet<Arc<str>>),
}

impl Claim {
    /// What a Service of the snapshot asks for; `None` for one without an address of ours, and for
    /// one without a ready endpoint, for which nobody answers.
    #[must_use]
    pub fn of(snapshot: &Snapshot, name: &NamespacedName, pool: &[AddressRange]) -> Option<Self> {
        let service = snapshot.services.get(name)?;
        let addresses = addresses(service, pool);
        if addresses.is_empty() {
            return None;
        }
        let nodes = nodes(service, snapshot.slices_of(name))?;
        Some(Self { addresses, nodes })
    }
}

fn addresses(service: &Service, pool: &[AddressRange]) -> Vec<IpAddr> {
    let class = service.load_balancer_class.as_deref();
    let ours = service.service_type == ServiceType::LoadBalancer
        && class.is_none_or(|class| class == BALANCER_CLASS);
    let ingress = service.ingress.iter().filter(|_| ours);
    let ingress = ingress.filter(|entry| entry.ip_mode == IngressMode::Vip);
    ingress
        .filter_map(|entry| entry.ip)
        .filter(|ip| pool.iter().any(|range| range.contains(*ip)))
        .collect()
}

/// Endpoints that end are no reason to begin, and one to go: rules still serve what comes late.
fn nodes(service: &Service, slices: &[EndpointSlice]) -> Option<Where> {
    let mut ready = slices
        .iter()
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.ready)
        .peekable();
    ready.peek()?;
    if service.external_traffic_policy == TrafficPolicy::Cluster {
        return Some(Where::Anywhere);
    }
    let on: BTreeSet<Arc<str>> = ready.filter_map(|e| e.node_name.clone()).collect();
    (!on.is_empty()).then_some(Where::On(on))
}
