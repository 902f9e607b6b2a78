//! What one Service holds in the table, packed: at 100 000 Services with 10 endpoints each, an
//! allocation for every element would take several times the room.
//!
//! Must not know which elements a Service ought to hold.

use std::sync::Arc;

use super::super::claims::Claim;
use super::super::elements::{ElementNames, Held};
use super::super::sets::SetId;
use crate::model::{IpFamily, NamespacedName, Protocol, ProxiedPort, ServicePortName};
use crate::plan::nftables::text::address_len;

/// Tag of a list of endpoints.
const LIST: u8 = 0;
/// Tag of the first of [`SetId::FIXED`]; the others follow.
const FIXED: u8 = 1;
/// Tag of source ranges; their length follows.
const SOURCES: u8 = 0x40;
/// Tag of endpoints with affinity; their timeout follows.
const AFFINITY_ENDPOINTS: u8 = 0x41;

/// What one Service holds in the table of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    /// Its ports, in the order of `spec.ports`.
    ports: Box<[(Arc<str>, Protocol)]>,
    /// The front ends it claims, whether it has them or not.
    claims: Box<[Claim]>,
    /// Items, each a tag, the number of the port that holds it, and what the tag says.
    items: Box<[u8]>,
}

impl Holding {
    /// What ports hold, as [`Packer`] has packed it.
    pub(super) fn new(ports: &[(u16, ProxiedPort)], claims: Vec<Claim>, packer: Packer) -> Self {
        let names = ports.iter();
        let names = names.map(|(_, port)| (Arc::clone(&port.name.port), port.name.protocol));
        Self {
            ports: names.collect(),
            claims: claims.into(),
            items: packer.items.into(),
        }
    }

    /// The same Service with other items.
    pub(super) fn repacked(&self, packer: Packer) -> Self {
        Self {
            items: packer.items.into(),
            ..self.clone()
        }
    }

    pub(super) fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The items in the order in which they were packed, with the port that holds each.
    pub(super) fn items(&self, family: IpFamily) -> Items<'_> {
        Items {
            rest: &self.items,
            family,
        }
    }

    /// Its items that are elements of plain sets.
    pub(super) fn elements(&self, family: IpFamily) -> impl Iterator<Item = (SetId, &[u8])> {
        self.items(family).filter_map(|(_, held)| match held {
            Held::Element { set, key } => Some((set, key)),
            Held::List { .. } => None,
        })
    }

    /// The name of a port; that of an unknown number is empty.
    pub(super) fn port_name(&self, service: &NamespacedName, port: u16) -> ServicePortName {
        let known = self.ports.get(usize::from(port));
        let (port, protocol) = known.map_or_else(
            || (Arc::from(""), Protocol::Tcp),
            |(name, protocol)| (Arc::clone(name), *protocol),
        );
        ServicePortName {
            service: service.clone(),
            port,
            protocol,
        }
    }

    /// The comments of a port's elements.
    pub(super) fn element_names(&self, service: &NamespacedName, port: u16) -> ElementNames {
        ElementNames::new(service, &self.port_name(service, port))
    }
}

/// Items being packed.
#[derive(Clone, Debug)]
pub(super) struct Packer {
    items: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { items: Vec::new() }
    }

    pub(super) fn push(&mut self, port: u16, held: Held<'_>) {
        match held {
            Held::Element { set, key } => {
                self.tag(set);
                self.items.extend(port.to_ne_bytes());
                self.items.extend(key);
            }
            Held::List {
                front_end,
                base,
                endpoints,
            } => {
                let len = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
                self.items.push(LIST);
                self.items.extend(port.to_ne_bytes());
                self.items.extend(front_end);
                self.items.extend(base.to_ne_bytes());
                self.items.extend(len.to_ne_bytes());
                self.items.extend(endpoints);
            }
        }
    }

    fn tag(&mut self, set: SetId) {
        match set {
            SetId::Sources(length) => self.items.extend([SOURCES, length]),
            SetId::AffinityEndpoints(seconds) => {
                self.items.push(AFFINITY_ENDPOINTS);
                self.items.extend(seconds.to_ne_bytes());
            }
            fixed => {
                let position = (FIXED..).zip(SetId::FIXED).find(|(_, set)| *set == fixed);
                self.items.extend(position.map(|(tag, _)| tag));
            }
        }
    }
}

/// The items of a [`Holding`].
#[derive(Clone, Debug)]
pub(super) struct Items<'a> {
    rest: &'a [u8],
    family: IpFamily,
}

impl<'a> Items<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn set(&mut self, tag: u8) -> Option<SetId> {
        match tag {
            SOURCES => self.array().map(|[length]| SetId::Sources(length)),
            AFFINITY_ENDPOINTS => {
                let seconds = u32::from_ne_bytes(self.array()?);
                Some(SetId::AffinityEndpoints(seconds))
            }
            fixed => {
                let index = usize::from(fixed.checked_sub(FIXED)?);
                SetId::FIXED.get(index).copied()
            }
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = (u16, Held<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let [tag] = self.array()?;
        if tag == LIST {
            let port = u16::from_ne_bytes(self.array()?);
            let front_end = self.take(address_len(self.family) + 8)?;
            let base = u32::from_ne_bytes(self.array()?);
            let len = u32::from_ne_bytes(self.array()?);
            let endpoints = self.take(usize::try_from(len).ok()?)?;
            let list = Held::List {
                front_end,
                base,
                endpoints,
            };
            return Some((port, list));
        }
        let set = self.set(tag)?;
        let port = u16::from_ne_bytes(self.array()?);
        let key = self.take(set.key_len(self.family))?;
        Some((port, Held::Element { set, key }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_in_the_same_order() {
        for family in IpFamily::ALL {
            let bytes: Vec<u8> = (0..200).collect();
            let variable = [SetId::Sources(128), SetId::AffinityEndpoints(10_800)];
            let sets = SetId::FIXED.into_iter().chain(variable);
            let mut items: Vec<(u16, Held<'_>)> = sets
                .map(|set| Held::Element {
                    set,
                    key: &bytes[..set.key_len(family)],
                })
                .enumerate()
                .map(|(port, held)| (u16::try_from(port).unwrap(), held))
                .collect();
            for len in [0, 16, 160] {
                let list = Held::List {
                    front_end: &bytes[..address_len(family) + 8],
                    base: 100_000,
                    endpoints: &bytes[..len],
                };
                items.insert(3, (300, list));
            }
            let mut packer = Packer::new();
            for (port, held) in &items {
                packer.push(*port, *held);
            }
            let holding = Holding::new(&[], Vec::new(), packer);
            assert_eq!(holding.items(family).collect::<Vec<_>>(), items);
        }
    }
}
