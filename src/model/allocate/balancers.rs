//! Addresses of load balancers, out of pools: asked for, remembered, new.
//!
//! Nothing here is refused: a Service that cannot have an address has none, and waits, as a Service
//! of a cluster without a balancer does.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::super::{
    IngressMode, IpFamily, LoadBalancerIngress, NamespacedName, Service, ServiceType,
};
use super::Input;
use super::held::{Field, Held, Holder};
use super::pool::stable_hash;
use super::range::number;
use super::record::ServiceAllocation;

/// The `spec.loadBalancerClass` of Services that are announced by portolan, beside those without one.
pub const BALANCER_CLASS: &str = "portolan.dev/announce";

/// Neighbouring addresses of one family, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// Whether it holds an address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        IpFamily::of(address) == self.family() && (self.first..=self.last).contains(&address)
    }

    /// Whether it has an address in common with a network.
    #[must_use]
    pub fn meets(&self, network: &IpNet) -> bool {
        IpFamily::of(network.addr()) == self.family()
            && self.first <= network.broadcast()
            && self.last >= network.network()
    }

    /// Its family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        IpFamily::of(self.first)
    }

    /// How many addresses it has.
    fn len(&self) -> u128 {
        (number(self.last) - number(self.first)).saturating_add(1)
    }

    fn at(&self, place: u128) -> Option<IpAddr> {
        let number = number(self.first).checked_add(place)?;
        Some(match self.family() {
            IpFamily::V4 => IpAddr::V4(u32::try_from(number).ok()?.into()),
            IpFamily::V6 => IpAddr::V6(number.into()),
        })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A CIDR, all of whose addresses are meant, `FIRST-LAST`, or one address.
impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("\"{text}\" is not a CIDR, an address or a range FIRST-LAST");
        if let Ok(net) = text.parse::<IpNet>() {
            let net = net.trunc();
            return Ok(Self {
                first: net.network(),
                last: net.broadcast(),
            });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let parse = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| wrong());
        let (first, last) = (parse(first)?, parse(last)?);
        if IpFamily::of(first) != IpFamily::of(last) || first > last {
            return Err(wrong());
        }
        Ok(Self { first, last })
    }
}

/// The addresses a Service is given.
#[derive(Debug, Default)]
pub(super) struct ChosenBalancers(Vec<IpAddr>);

impl ChosenBalancers {
    /// They are status as a cloud's controller would write it: rules and `get` see no difference.
    pub(super) fn apply(self, service: &mut Service) {
        let ingress = |ip| LoadBalancerIngress {
            ip: Some(ip),
            hostname: None,
            ip_mode: IngressMode::Vip,
        };
        service.ingress.extend(self.0.iter().copied().map(ingress));
        service.balancer_ips = self.0;
    }
}

/// Who holds which address of the pools.
#[derive(Debug)]
pub(super) struct Book {
    held: Held<IpAddr>,
    pools: Vec<AddressRange>,
}

impl Book {
    pub(super) fn new(pools: &[AddressRange]) -> Self {
        Self {
            held: Held::default(),
            pools: pools.to_vec(),
        }
    }

    /// Chooses for Services that hold nothing; entry i is for input i and families i.
    pub(super) fn choose<'f>(
        &mut self,
        inputs: &[Input<'_>],
        families: impl Iterator<Item = &'f [IpFamily]>,
    ) -> Vec<ChosenBalancers> {
        let wanted: Vec<Vec<IpFamily>> = inputs
            .iter()
            .zip(families)
            .map(|(input, families)| self.wanted(input.service, families))
            .collect();
        let mut chosen: Vec<ChosenBalancers> =
            inputs.iter().map(|_| ChosenBalancers::default()).collect();
        for step in [Self::asked_for, Self::remembered, Self::new_one] {
            for ((input, families), chosen) in inputs.iter().zip(&wanted).zip(&mut chosen) {
                for family in families {
                    let has = chosen.0.iter().any(|ip| IpFamily::of(*ip) == *family);
                    if !has && let Some(address) = step(self, input, *family) {
                        self.held.insert(address, holder(input.name));
                        chosen.0.push(address);
                    }
                }
            }
        }
        chosen
    }

    /// The families that a Service is to have an address of. One whose status says addresses has
    /// another balancer.
    fn wanted(&self, service: &Service, families: &[IpFamily]) -> Vec<IpFamily> {
        let class = service.load_balancer_class.as_deref();
        let ours = service.service_type == ServiceType::LoadBalancer
            && class.is_none_or(|class| class == BALANCER_CLASS)
            && service.ingress.is_empty();
        if !ours {
            return Vec::new();
        }
        // An address that is asked for is all there is, and it may be another balancer's.
        match service.load_balancer_ip {
            Some(address) => vec![IpFamily::of(address)],
            None => families.to_vec(),
        }
    }

    fn asked_for(&mut self, input: &Input<'_>, family: IpFamily) -> Option<IpAddr> {
        let address = input.service.load_balancer_ip?;
        (IpFamily::of(address) == family && self.is_free(address)).then_some(address)
    }

    fn remembered(&mut self, input: &Input<'_>, family: IpFamily) -> Option<IpAddr> {
        if input.service.load_balancer_ip.is_some() {
            return None;
        }
        let mut before = input.remembered?.balancer_ips.iter().copied();
        let address = before.find(|ip| IpFamily::of(*ip) == family)?;
        self.is_free(address).then_some(address)
    }

    /// The first free one from a place on that the Service's name gives, with wrap.
    fn new_one(&mut self, input: &Input<'_>, family: IpFamily) -> Option<IpAddr> {
        if input.service.load_balancer_ip.is_some() {
            return None;
        }
        let pools = || self.pools.iter().filter(|pool| pool.family() == family);
        let total = pools().map(AddressRange::len).fold(0, u128::saturating_add);
        let start = stable_hash(&input.name.to_string()).checked_rem(total)?;
        let at = |mut place: u128| {
            pools().find_map(|pool| match place.checked_sub(pool.len()) {
                Some(rest) => {
                    place = rest;
                    None
                }
                None => pool.at(place),
            })
        };
        // Of so many, one is free if any is.
        let steps = total.min(self.held.len() as u128 + 1);
        let places = (0..steps).map(|step| (start + step) % total);
        places
            .filter_map(at)
            .find(|ip| self.held.get(*ip).is_none())
    }

    fn is_free(&self, address: IpAddr) -> bool {
        self.pools.iter().any(|pool| pool.contains(address)) && self.held.get(address).is_none()
    }

    /// Gives back what a Service holds of this.
    pub(super) fn release(&mut self, service: &NamespacedName, record: &ServiceAllocation) {
        for address in &record.balancer_ips {
            self.held.remove(*address, service);
        }
    }

    /// Makes all since the last call of this or [`undo`](Self::undo) final.
    pub(super) fn keep(&mut self) {
        self.held.keep();
    }

    /// Takes all back since the last call of this or [`keep`](Self::keep).
    pub(super) fn undo(&mut self) {
        while self.held.undo_one().is_some() {}
    }
}

/// Addresses for Services of a cluster, whose status says who has which: those that wait for one,
/// and what each is given. `reserved` is given already, or never to be, and is not in the status.
#[must_use]
pub fn give_balancers(
    services: &BTreeMap<NamespacedName, Service>,
    pools: &[AddressRange],
    reserved: &BTreeMap<NamespacedName, Vec<IpAddr>>,
) -> BTreeMap<NamespacedName, Vec<IpAddr>> {
    let mut book = Book::new(pools);
    for (name, service) in services {
        for address in service.ingress.iter().filter_map(|entry| entry.ip) {
            book.held.insert(address, holder(name));
        }
    }
    for (name, addresses) in reserved {
        for address in addresses {
            book.held.insert(*address, holder(name));
        }
    }
    let waiting = services
        .iter()
        .filter(|(name, service)| !reserved.contains_key(name) && !service.other_proxy);
    let inputs: Vec<Input<'_>> = waiting
        .map(|(name, service)| Input {
            name,
            service,
            remembered: None,
        })
        .collect();
    let families = inputs.iter().map(|i| i.service.ip_families.as_slice());
    let chosen = book.choose(&inputs, families);
    let given = inputs.iter().zip(chosen);
    let given = given.filter(|(_, chosen)| !chosen.0.is_empty());
    given
        .map(|(input, chosen)| (input.name.clone(), chosen.0))
        .collect()
}

/// Services of a cluster that are to have an address of the pools and have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unserved {
    /// The pools have ranges of their families, and all addresses are taken.
    pub used_up: Vec<NamespacedName>,
    /// The pools have no range of any family of theirs.
    pub no_range: Vec<NamespacedName>,
}

/// Those that go without, but for those that are given something now.
#[must_use]
pub fn unserved_balancers(
    services: &BTreeMap<NamespacedName, Service>,
    pools: &[AddressRange],
    given: &BTreeMap<NamespacedName, Vec<IpAddr>>,
) -> Unserved {
    let book = Book::new(pools);
    let mut unserved = Unserved::default();
    for (name, service) in services {
        // An address that is asked for is another matter: it may be another balancer's.
        let wanted = match service.load_balancer_ip {
            None => book.wanted(service, &service.ip_families),
            Some(_) => Vec::new(),
        };
        if wanted.is_empty() || service.other_proxy || given.contains_key(name) {
            continue;
        }
        let has_range = |family| pools.iter().any(|pool| pool.family() == family);
        if wanted.into_iter().any(has_range) {
            unserved.used_up.push(name.clone());
        } else {
            unserved.no_range.push(name.clone());
        }
    }
    unserved
}

fn holder(name: &NamespacedName) -> Holder {
    Holder {
        name: name.clone(),
        field: Field::LoadBalancerIp,
        remembered: true,
    }
}
