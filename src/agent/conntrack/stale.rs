//! Whether a connection is to go.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::changes::leads_to;
use super::forwarding::{Forwarding, FrontEnd};
use crate::config::ProxyConfig;
use crate::kernel::conntrack::{ConntrackError, Flow, Selection};
use crate::kernel::link;
use crate::model::{IpFamily, Protocol};

/// Up to this many front ends of a protocol, the kernel is asked for each: it walks the table
/// within 100 ns an entry, and copies nothing that is not of interest.
const ONE_BY_ONE: usize = 8;

/// Front ends that are looked at, and where connections to them may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    front_ends: HashMap<FrontEnd, Vec<SocketAddr>>,
    /// Set where all front ends of some protocols are known.
    pub(super) strays: Option<Strays>,
    /// Rules lead to this node, which stands in for endpoints: the userspace mode.
    pub(super) stands_in: bool,
    local: HashSet<IpAddr>,
}

/// What can be told of connections that no front end is known for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strays {
    /// Nothing but a rule for a Service translates addresses in here.
    service_cidrs: Vec<IpNet>,
    /// The same for these ports of local addresses.
    node_ports: RangeInclusive<u16>,
    /// Protocols all front ends of which are known.
    protocols: Vec<Protocol>,
}

impl Strays {
    pub(super) fn new(config: &ProxyConfig, protocols: &[Protocol]) -> Self {
        Self {
            service_cidrs: config.service_cidrs.clone(),
            node_ports: config.node_ports.clone(),
            protocols: protocols.to_vec(),
        }
    }

    /// Translated by the rule of a Service.
    fn was_a_service(&self, flow: &Flow, local: bool) -> bool {
        let to = flow.destination;
        flow.is_translated()
            && self.protocols.contains(&flow.protocol)
            && (self.service_cidrs.iter().any(|net| net.contains(&to.ip()))
                || local && self.node_ports.contains(&to.port()))
    }
}

impl Stale {
    /// Nothing is to be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.front_ends.is_empty() && self.strays.is_none()
    }

    /// From now on looks at a front end, whose connections may lead to these endpoints (which are
    /// in order) and to no others.
    pub fn keep_only(&mut self, front_end: FrontEnd, endpoints: Vec<SocketAddr>) {
        self.front_ends.insert(front_end, endpoints);
    }

    /// Lets connections lead to these endpoints too, because they are about to.
    pub fn spare(&mut self, soon: &Forwarding) {
        for (front_end, endpoints) in soon {
            let known = match (&self.strays, self.front_ends.get_mut(front_end)) {
                (_, Some(known)) => known,
                (Some(_), None) => self.front_ends.entry(*front_end).or_default(),
                (None, None) => continue,
            };
            known.extend(endpoints);
            known.sort_unstable();
            known.dedup();
        }
    }

    /// Adds what another looks at; where both look at a front end, the other counts.
    pub fn merge(&mut self, later: Self) {
        self.front_ends.extend(later.front_ends);
        self.strays = later.strays.or(self.strays.take());
        self.stands_in |= later.stands_in;
    }

    /// Finds out what node ports are ports of. To be called in the network namespace.
    ///
    /// # Errors
    /// The addresses cannot be listed.
    pub fn find_local_addresses(&mut self) -> Result<(), ConntrackError> {
        let addresses = link::local_addresses().map_err(|error| ConntrackError::Io {
            operation: "list the local addresses",
            source: std::io::Error::other(error),
        })?;
        let addresses = addresses.into_iter().map(|local| local.address);
        // What a program says to itself is no node-port traffic in every mode.
        self.local = addresses.filter(|address| !address.is_loopback()).collect();
        Ok(())
    }

    /// Whether a connection is to go.
    #[must_use]
    pub fn is_stale(&self, flow: &Flow) -> bool {
        let local = self.local.contains(&flow.destination.ip());
        let Some(endpoints) = self.endpoints(flow, local) else {
            let strays = self.strays.as_ref();
            return strays.is_some_and(|strays| strays.was_a_service(flow, local))
                && is_removable(flow);
        };
        let leads_astray = if flow.is_translated() {
            !leads_to(endpoints, &flow.replies_from) && !self.is_stood_in_for(endpoints, flow)
        } else {
            // It began before there was a rule: now there is one.
            !endpoints.is_empty()
        };
        leads_astray && is_removable(flow)
    }

    /// The connection leads to this node, which passes it on to an endpoint.
    fn is_stood_in_for(&self, endpoints: &[SocketAddr], flow: &Flow) -> bool {
        self.stands_in && !endpoints.is_empty() && self.local.contains(&flow.replies_from.ip())
    }

    /// Where the connection may lead, if its front end is looked at.
    fn endpoints(&self, flow: &Flow, local: bool) -> Option<&[SocketAddr]> {
        let to = flow.destination;
        let address = FrontEnd::Address(flow.protocol, to);
        let found = self.front_ends.get(&address).or_else(|| {
            let family = IpFamily::of(to.ip());
            let node_port = FrontEnd::NodePort(flow.protocol, family, to.port());
            self.front_ends.get(&node_port).filter(|_| local)
        });
        found.map(Vec::as_slice)
    }

    /// Which parts of the table hold everything that may be stale. Where the kernel is known not to
    /// filter (`Some(false)`), whole protocols are read instead of the table over and over.
    #[must_use]
    pub fn selections(&self, kernel_filters: Option<bool>) -> Vec<Selection> {
        let mut selections = Vec::new();
        for protocol in [Protocol::Udp, Protocol::Sctp, Protocol::Tcp] {
            for family in IpFamily::ALL {
                let of_both = |f: &&FrontEnd| f.protocol() == protocol && f.family() == family;
                let front_ends: Vec<_> = self.front_ends.keys().filter(of_both).collect();
                let whole = Selection {
                    family,
                    protocol,
                    destination: None,
                    unreplied: protocol == Protocol::Tcp,
                };
                let strays = self.strays.as_ref();
                if strays.is_some_and(|strays| strays.protocols.contains(&protocol))
                    || front_ends.len() > ONE_BY_ONE
                    || (kernel_filters == Some(false) && !front_ends.is_empty())
                {
                    selections.push(whole);
                    continue;
                }
                let mut parts: Vec<_> = front_ends.into_iter().map(|f| whole.to(f)).collect();
                parts.sort_unstable();
                parts.dedup();
                selections.extend(parts);
            }
        }
        selections
    }
}

impl Selection {
    fn to(self, front_end: &FrontEnd) -> Self {
        let destination = match front_end {
            FrontEnd::Address(_, socket) => (Some(socket.ip()), socket.port()),
            FrontEnd::NodePort(_, _, port) => (None, *port),
        };
        Self {
            destination: Some(destination),
            ..self
        }
    }
}

/// TCP ends or recovers by itself once the two sides have spoken with each other; a connection that
/// was never answered goes on knocking at a door that is gone. Such that are not translated may be
/// answered along another way.
fn is_removable(flow: &Flow) -> bool {
    flow.protocol != Protocol::Tcp || (!flow.replied && flow.is_translated())
}

#[cfg(test)]
mod tests;
