//! Cluster IPs: fixed, remembered, new.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::{IpFamily, NamespacedName, Service, ServiceType};
use super::error::ErrorList;
use super::families::{self, Families};
use super::held::{Field, Held, Holder};
use super::pool::Pool;
use super::range::{Bands, address_at, position};
use super::record::ServiceAllocation;
use super::{Input, Ranges};

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
    /// The Service's families, primary first.
    pub(super) fn families(&self) -> &[IpFamily] {
        &self.families.families
    }

    pub(super) fn apply(self, service: &mut Service) {
        service.ip_family_policy = self.families.policy;
        service.ip_families = self.families.families;
        service.cluster_ips = self.slots.iter().filter_map(|slot| slot.address).collect();
    }
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
#[derive(Debug)]
pub(super) struct Book {
    held: Held<IpAddr>,
    pools: Vec<(IpNet, Pool)>,
}

impl Book {
    pub(super) fn new(ranges: &Ranges) -> Self {
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
            held: Held::default(),
            pools,
        }
    }

    /// Chooses for some Services, which hold nothing; entry i is for input i.
    pub(super) fn choose(
        &mut self,
        inputs: &[Input<'_>],
        ranges: &Ranges,
        errors: &mut ErrorList,
    ) -> Vec<ChosenAddresses> {
        let mut drafts = drafts(inputs, ranges, errors);
        for (input, draft) in inputs.iter().zip(&drafts) {
            self.take_fixed(input, draft, errors);
        }
        for (input, draft) in inputs.iter().zip(&mut drafts) {
            self.take_remembered(input, draft, errors);
        }
        for (input, draft) in inputs.iter().zip(&mut drafts) {
            self.take_new(input, draft, errors);
        }
        drafts
    }

    /// Gives back what a Service holds of this.
    pub(super) fn release(&mut self, service: &NamespacedName, record: &ServiceAllocation) {
        for address in &record.cluster_ips {
            if self.held.remove(*address, service) {
                self.release_in_pool(*address);
            }
        }
    }

    /// Makes all since the last call of this or [`undo`](Self::undo) final.
    pub(super) fn keep(&mut self) {
        self.held.keep();
    }

    /// Takes all back since the last call of this or [`keep`](Self::keep).
    pub(super) fn undo(&mut self) {
        while let Some((address, is_held)) = self.held.undo_one() {
            if is_held {
                self.take_in_pool(address);
            } else {
                self.release_in_pool(address);
            }
        }
    }

    fn take_in_pool(&mut self, address: IpAddr) {
        if let Some((range, pool)) = self.pool(IpFamily::of(address))
            && let Some(place) = position(range, address)
        {
            pool.take(place);
        }
    }

    fn release_in_pool(&mut self, address: IpAddr) {
        if self.reserved() == Some(address) {
            return;
        }
        if let Some((range, pool)) = self.pool(IpFamily::of(address))
            && let Some(place) = position(range, address)
        {
            pool.release(place);
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

    fn take_fixed(&mut self, input: &Input<'_>, draft: &ChosenAddresses, errors: &mut ErrorList) {
        for (index, slot) in draft.slots.iter().enumerate() {
            let Some(address) = slot.address else {
                continue;
            };
            let holder = Holder {
                name: input.name.clone(),
                field: Field::ClusterIp(index),
                remembered: false,
            };
            let field = holder.field;
            if let Err(why) = self.hold(address, holder) {
                errors.push(input.name, &field, refusal(address, &why));
            }
        }
    }

    /// Lets a Service hold an address of its family's range, or any where the family has no range.
    fn hold(&mut self, address: IpAddr, holder: Holder) -> Result<(), String> {
        if self.reserved() == Some(address) && !is_api_service(&holder.name) {
            return Err(
                "provided IP is already allocated to Service default/kubernetes".to_owned(),
            );
        }
        if let Some((range, _)) = self.pool(IpFamily::of(address))
            && position(range, address).is_none()
        {
            return Err(format!(
                "the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}"
            ));
        }
        if let Some(other) = self.held.get(address) {
            return Err(format!("provided IP is already allocated {other}"));
        }
        self.held.insert(address, holder);
        self.take_in_pool(address);
        Ok(())
    }

    /// Gives open slots what an earlier run gave them, unless that is no longer valid.
    fn take_remembered(
        &mut self,
        input: &Input<'_>,
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
                name: input.name.clone(),
                field: Field::ClusterIp(index),
                remembered: true,
            };
            if self.hold(address, holder.clone()).is_ok() {
                slot.address = Some(address);
            } else if let Some(thief) = self.held.get(address).filter(|other| !other.remembered) {
                let why = format!("provided IP is already allocated {holder}");
                errors.push(&thief.name, &thief.field, refusal(address, &why));
                // No second error for want of another address.
                slot.address = Some(address);
            }
        }
    }

    fn take_new(&mut self, input: &Input<'_>, draft: &mut ChosenAddresses, errors: &mut ErrorList) {
        for (index, slot) in draft.slots.iter_mut().enumerate() {
            if slot.address.is_some() {
                continue;
            }
            slot.address = self.next(slot.family, input);
            if let Some(address) = slot.address {
                // From now on as good as remembered.
                let holder = Holder {
                    name: input.name.clone(),
                    field: Field::ClusterIp(index),
                    remembered: true,
                };
                self.held.insert(address, holder);
            } else {
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

    fn next(&mut self, family: IpFamily, input: &Input<'_>) -> Option<IpAddr> {
        if is_api_service(input.name)
            && let Some(reserved) = self.reserved()
            && IpFamily::of(reserved) == family
            && self.held.get(reserved).is_none()
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
