//! The cluster as the rules of a running agent would see it, without an agent.

use std::net::SocketAddr;

use super::Addresses;
use crate::agent::facts::NodeFacts;
use crate::agent::node::own_node;
use crate::config::ProxyConfig;
use crate::model::Snapshot;
use crate::translate::userspace::{FrontId, fronts, service, slices};

/// The snapshot with sockets in place of endpoints. Their ports, which the kernel chooses when the
/// agent starts, are counted from 1.
#[must_use]
pub fn rendered(snapshot: &Snapshot, config: &ProxyConfig, facts: &NodeFacts) -> Snapshot {
    let node = own_node(snapshot, config, &facts.local_addresses);
    let at = Addresses::choose(snapshot, config, &facts.local_addresses);
    let mut seen = Snapshot {
        nodes: snapshot.nodes.clone(),
        ..Snapshot::default()
    };
    let mut ports = (1..=u16::MAX).cycle();
    for (name, present) in &snapshot.services {
        let wanted = fronts(present, snapshot.slices_of(name), &node, &facts.families);
        let sockets: Vec<(FrontId, SocketAddr)> = wanted
            .into_iter()
            .zip(&mut ports)
            .map(|(front, port)| {
                let address = at.of(front.id.family);
                (front.id, SocketAddr::new(address, port))
            })
            .collect();
        let sockets = sockets.iter().map(|(id, address)| (id, *address));
        let slices = slices(name, &node.name, sockets);
        if !slices.is_empty() {
            seen.slices.insert(name.clone(), slices);
        }
        seen.services.insert(name.clone(), service(present));
    }
    seen
}
