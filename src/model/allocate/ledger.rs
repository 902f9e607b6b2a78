//! What all Services hold, kept between changes: a change costs what it touches.

use std::collections::BTreeMap;

use super::addresses::{self, ChosenAddresses};
use super::balancers::{self, ChosenBalancers};
use super::error::ErrorList;
use super::ports::{self, ChosenPorts};
use super::{AllocationError, Allocations, Input, NamespacedName, Ranges, ServiceAllocation};
use crate::model::Service;

/// Services whose holdings changed, with what they hold now; `None` for those that hold nothing.
pub type AllocationChanges = BTreeMap<NamespacedName, Option<ServiceAllocation>>;

/// The addresses and ports that Services hold.
///
/// Gives the same as [`allocate`](super::allocate) of all Services with what they held before as
/// `previous`, and refuses the same sets. Only the blame may differ: here it is always the Service
/// that came later that is refused, and not the later one by name.
#[derive(Debug)]
pub struct Ledger {
    ranges: Ranges,
    addresses: addresses::Book,
    ports: ports::Book,
    balancers: balancers::Book,
}

/// What was chosen for one Service.
pub(super) struct Chosen(ChosenAddresses, ChosenPorts, ChosenBalancers);

impl Chosen {
    pub(super) fn apply(self, service: &mut Service) {
        self.0.apply(service);
        self.1.apply(service);
        self.2.apply(service);
    }
}

impl Ledger {
    /// A ledger in which nobody holds anything.
    #[must_use]
    pub fn new(ranges: Ranges) -> Self {
        Self {
            addresses: addresses::Book::new(&ranges),
            ports: ports::Book::new(&ranges.node_ports),
            balancers: balancers::Book::new(&ranges.balancers),
            ranges,
        }
    }

    /// Moves on by Services that came or changed (as their manifests have them, to be filled in)
    /// and that went (`None`).
    ///
    /// `previous` is what these Services held before: from an earlier run if the ledger does not
    /// know them yet, else what it gave them. The result names those that now hold something else.
    ///
    /// # Errors
    ///
    /// Everything wrong with any of the Services. They are then as they were, and so is the
    /// ledger: as it was at the last `keep`.
    ///
    /// Until [`keep`](Self::keep) is called, [`undo`](Self::undo) takes the change back.
    pub fn change(
        &mut self,
        services: &mut BTreeMap<NamespacedName, Option<Service>>,
        previous: &Allocations,
    ) -> Result<AllocationChanges, Vec<AllocationError>> {
        for name in services.keys() {
            if let Some(record) = previous.get(name) {
                self.addresses.release(name, record);
                self.ports.release(name, record);
                self.balancers.release(name, record);
            }
        }
        let inputs: Vec<Input<'_>> = services
            .iter()
            .filter_map(|(name, service)| {
                Some(Input {
                    name,
                    service: service.as_ref()?,
                    remembered: previous.get(name),
                })
            })
            .collect();
        let chosen = self.choose(&inputs)?;
        for (service, chosen) in services.values_mut().flatten().zip(chosen) {
            chosen.apply(service);
        }
        let held = services.iter().map(|(name, service)| {
            let record = service.as_ref().and_then(ServiceAllocation::of);
            (name, record)
        });
        Ok(held
            .filter(|(name, record)| previous.get(name) != record.as_ref())
            .map(|(name, record)| (name.clone(), record))
            .collect())
    }

    /// Makes the changes so far final.
    pub fn keep(&mut self) {
        self.addresses.keep();
        self.ports.keep();
        self.balancers.keep();
    }

    /// Takes back all changes since the last [`keep`](Self::keep).
    pub fn undo(&mut self) {
        self.addresses.undo();
        self.ports.undo();
        self.balancers.undo();
    }

    /// Chooses for Services that hold nothing; entry i is for input i.
    pub(super) fn choose(
        &mut self,
        inputs: &[Input<'_>],
    ) -> Result<Vec<Chosen>, Vec<AllocationError>> {
        let mut errors = ErrorList::default();
        let addresses = self.addresses.choose(inputs, &self.ranges, &mut errors);
        let ports = self.ports.choose(inputs, &mut errors);
        let families = addresses.iter().map(ChosenAddresses::families);
        let balancers = self.balancers.choose(inputs, families);
        if let Err(errors) = errors.into_result() {
            self.undo();
            return Err(errors);
        }
        let chosen = addresses.into_iter().zip(ports).zip(balancers);
        Ok(chosen
            .map(|((addresses, ports), balancers)| Chosen(addresses, ports, balancers))
            .collect())
    }
}
