//! Cluster IPs: fixed, remembered, new.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use ipnet::IpNet;

use super::super::{IpFamily, NamespacedName, Service, ServiceType};
use super::error::ErrorList;
use super::families::{self, Families};
use super::pool::Pool;
use super::range::{Bands, address_at, position};
use super::{Field, Holder, Input, Ranges};

/// What a Service is to have of families and cluster IPs.
#[derive(Debug, Default)]
pub(super) struct ChosenAddresses {
    families: Families,
    slots: Vec<Slot>,
}

/// One entry of `spec.clusterIPs`.
#[derive(Debug)]
struct Slot {
    family: IpFamily,
    address: Option<IpAddr>,
}

impl ChosenAddresses {
    pub(super) fn apply(self, service: &mut Service) {
        service.ip_family_policy = self.families.policy;
        service.ip_families = self.families.families;
        service.cluster_ips = self.slots.iter().filter_map(|slot| slot.address).collect();
    }
}

/// Chooses for all Services; entry i is for input i.
pub(super) fn choose(
    inputs: &[Input<'_>],
    ranges: &Ranges,
    errors: &mut ErrorList,
) -> Vec<ChosenAddresses> {
    let mut drafts = drafts(inputs, ranges, errors);
    let mut book = Book::new(ranges);
    for (input, draft) in inputs.iter().zip(&drafts) {
        book.take_fixed(input, draft, errors);
    }
    for (input, draft) in inputs.iter().zip(&mut drafts) {
        book.take_remembered(input, draft, errors);
    }
    for (input, draft) in inputs.iter().zip(&mut drafts) {
        book.take_new(input, draft, errors);
    }
    drafts
}

/// Families of every Service, and the addresses their manifests fix.
fn drafts(inputs: &[Input<'_>], ranges: &Ranges, errors: &mut ErrorList) -> Vec<ChosenAddresses> {
    let configured = ranges.families();
    let draft = |input: &Input<'_>| {
        let service = input.service;
        let families = families::resolve(service, &configured)
            .map_err(|refusals| {
                for refusal in refusals {
                    errors.push(input.name, &refusal.field, refusal.reason);
                }
            })
            .unwrap_or_default();
        let no_address = service.headless || service.service_type == ServiceType::ExternalName;
        let slots = if no_address {
            Vec::new()
        } else {
            slots(&service.cluster_ips, &families.families)
        };
        ChosenAddresses { families, slots }
    };
    inputs.iter().map(draft).collect()
}

/// The fixed addresses, then one open slot for each family that is still without.
fn slots(fixed: &[IpAddr], families: &[IpFamily]) -> Vec<Slot> {
    let fixed_slots = fixed.iter().map(|address| Slot {
        family: IpFamily::of(*address),
        address: Some(*address),
    });
    let open = families.iter().skip(fixed.len()).map(|family| Slot {
        family: *family,
        address: None,
    });
    fixed_slots.chain(open).collect()
}

/// All addresses that are held, and what is free in each range.
struct Book<'a> {
    held: HashMap<IpAddr, Holder<'a>>,
    pools: Vec<(IpNet, Pool)>,
}

impl<'a> Book<'a> {
    fn new(ranges: &Ranges) -> Self {
        let mut pools: Vec<_> = ranges
            .cluster_ips
            .iter()
            .map(|range| (range.trunc(), Pool::new(Bands::of_addresses(range))))
            .collect();
        if let Some((_, primary)) = pools.first_mut() {
            // Kept for the API's own Service, which need not be among the manifests.
            primary.take(0);
        }
        Self {
            held: HashMap::new(),
            pools,
        }
    }

    fn pool(&mut self, family: IpFamily) -> Option<&mut (IpNet, Pool)> {
        self.pools
            .iter_mut()
            .find(|(range, _)| IpFamily::of(range.addr()) == family)
    }

    /// The first usable address of the primary range.
    fn reserved(&self) -> Option<IpAddr> {
        self.pools
            .first()
            .and_then(|(range, _)| address_at(range, 0))
    }

    fn take_fixed(&mut self, input: &Input<'a>, draft: &ChosenAddresses, errors: &mut ErrorList) {
        for (index, slot) in draft.slots.iter().enumerate() {
            let Some(address) = slot.address else {
                continue;
            };
            let holder = Holder {
                name: input.name,
                field: Field::ClusterIp(index),
                remembered: false,
            };
            if let Err(why) = self.hold(address, holder) {
                errors.push(input.name, &holder.field, refusal(address, &why));
            }
        }
    }

    /// Lets a Service hold an address of its family's range, or any where the family has no range.
    fn hold(&mut self, address: IpAddr, holder: Holder<'a>) -> Result<(), String> {
        if self.reserved() == Some(address) && !is_api_service(holder.name) {
            return Err(
                "provided IP is already allocated to Service default/kubernetes".to_owned(),
            );
        }
        let place = match self.pool(IpFamily::of(address)) {
            None => None,
            Some((range, _)) => Some(position(range, address).ok_or_else(|| {
                format!(
                    "the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}"
                )
            })?),
        };
        match self.held.entry(address) {
            Entry::Occupied(other) => {
                return Err(format!("provided IP is already allocated {}", other.get()));
            }
            Entry::Vacant(free) => free.insert(holder),
        };
        if let (Some(place), Some((_, pool))) = (place, self.pool(IpFamily::of(address))) {
            pool.take(place);
        }
        Ok(())
    }

    /// Gives open slots what an earlier run gave them, unless that is no longer valid.
    fn take_remembered(
        &mut self,
        input: &Input<'a>,
        draft: &mut ChosenAddresses,
        errors: &mut ErrorList,
    ) {
        let Some(record) = input.remembered else {
            return;
        };
        for (index, slot) in draft.slots.iter_mut().enumerate() {
            if slot.address.is_some() {
                continue;
            }
            let mut addresses = record.cluster_ips.iter().copied();
            let Some(address) = addresses.find(|ip| IpFamily::of(*ip) == slot.family) else {
                continue;
            };
            let holder = Holder {
                name: input.name,
                field: Field::ClusterIp(index),
                remembered: true,
            };
            if self.hold(address, holder).is_ok() {
                slot.address = Some(address);
            } else if let Some(thief) = self.held.get(&address).filter(|other| !other.remembered) {
                let why = format!("provided IP is already allocated {holder}");
                errors.push(thief.name, &thief.field, refusal(address, &why));
                // No second error for want of another address.
                slot.address = Some(address);
            }
        }
    }

    fn take_new(&mut self, input: &Input<'a>, draft: &mut ChosenAddresses, errors: &mut ErrorList) {
        for (index, slot) in draft.slots.iter_mut().enumerate() {
            if slot.address.is_some() {
                continue;
            }
            slot.address = self.next(slot.family, input);
            if slot.address.is_none() {
                let full = self
                    .pool(slot.family)
                    .map(|(range, _)| format!(" ({range})"))
                    .unwrap_or_default();
                errors.push(
                    input.name,
                    &Field::ClusterIp(index),
                    format!("failed to allocate a serviceIP: range is full{full}"),
                );
            }
        }
    }

    fn next(&mut self, family: IpFamily, input: &Input<'a>) -> Option<IpAddr> {
        if is_api_service(input.name)
            && let Some(reserved) = self.reserved()
            && IpFamily::of(reserved) == family
            && !self.held.contains_key(&reserved)
        {
            return Some(reserved);
        }
        let (range, pool) = self.pool(family)?;
        address_at(range, pool.take_next(&input.name.to_string())?)
    }
}

/// The Service through which pods reach the API server.
fn is_api_service(name: &NamespacedName) -> bool {
    &*name.namespace == "default" && &*name.name == "kubernetes"
}

fn refusal(address: IpAddr, why: &str) -> String {
    format!("Invalid value: \"{address}\": failed to allocate IP {address}: {why}")
}
