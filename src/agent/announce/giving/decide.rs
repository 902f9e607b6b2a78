//! Who is to get which addresses, by a list of all load balancers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::ask::Listed;
use crate::model::NamespacedName;
use crate::model::allocate::{AddressRange, give_balancers};

/// Addresses for a Service that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gift {
    pub(super) service: NamespacedName,
    /// The `metadata.resourceVersion` it was decided for.
    pub(super) version: String,
    pub(super) addresses: Vec<IpAddr>,
}

impl Gift {
    pub(super) fn shown(&self) -> String {
        let texts: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        texts.join(",")
    }
}

/// Gifts that may have been written, or may still be: a request that got no answer can be on its
/// way. Nobody else is given those addresses until the Service has another version, of which such a
/// request would be refused.
#[derive(Debug, Default)]
pub(super) struct Unsure(BTreeMap<NamespacedName, Gift>);

impl Unsure {
    pub(super) fn remember(&mut self, gift: Gift) {
        self.0.insert(gift.service.clone(), gift);
    }

    pub(super) fn forget(&mut self, service: &NamespacedName) {
        self.0.remove(service);
    }
}

/// What is to be written now. What nobody knows of is written once more as it was.
pub(super) fn gifts(listed: &Listed, pools: &[AddressRange], unsure: &mut Unsure) -> Vec<Gift> {
    let is_taken = |gift: &Gift| {
        let others = listed
            .services
            .iter()
            .filter(|(name, _)| **name != gift.service);
        let mut taken = others.flat_map(|(_, service)| service.ingress.iter().filter_map(|e| e.ip));
        taken.any(|ip| gift.addresses.contains(&ip))
    };
    unsure.0.retain(|service, gift| {
        listed.versions.get(service) == Some(&gift.version) && !is_taken(gift)
    });
    let again = unsure.0.values().cloned();
    let reserved = unsure.0.iter();
    let reserved = reserved.map(|(service, gift)| (service.clone(), gift.addresses.clone()));
    let new = give_balancers(&listed.services, pools, &reserved.collect());
    let new = new.into_iter().filter_map(|(service, addresses)| {
        Some(Gift {
            version: listed.versions.get(&service)?.clone(),
            service,
            addresses,
        })
    });
    again.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{IngressMode, IpFamily, LoadBalancerIngress, Service, ServiceType};

    fn name(text: &str) -> NamespacedName {
        NamespacedName::new("default", text)
    }

    fn listed(services: &[(&str, &str, Option<&str>)]) -> Listed {
        let mut listed = Listed::default();
        for (service, version, address) in services {
            let ingress = address.map(|text| LoadBalancerIngress {
                ip: Some(text.parse().unwrap()),
                hostname: None,
                ip_mode: IngressMode::Vip,
            });
            let mut object = Service::new(name(service));
            object.service_type = ServiceType::LoadBalancer;
            object.ip_families = vec![IpFamily::V4];
            object.ingress = ingress.into_iter().collect();
            listed.versions.insert(name(service), (*version).to_owned());
            listed.services.insert(name(service), object);
        }
        listed
    }

    #[test]
    fn an_address_that_may_be_on_its_way_to_one_is_given_to_no_other() {
        let pools = ["192.0.2.1".parse().unwrap()];
        let mut unsure = Unsure::default();
        let first = gifts(&listed(&[("late", "1", None)]), &pools, &mut unsure);
        assert_eq!(first.len(), 1);
        unsure.remember(first[0].clone());
        // It has no answer, and another Service comes, which would be served first.
        let both = [("early", "2", None), ("late", "1", None)];
        assert_eq!(gifts(&listed(&both), &pools, &mut unsure), first);
        // The Service has changed: what was on its way is refused.
        let changed = [("early", "2", None), ("late", "3", None)];
        let next = gifts(&listed(&changed), &pools, &mut unsure);
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].service, name("early"));
    }

    #[test]
    fn what_another_has_meanwhile_is_not_written_again() {
        let pools = ["192.0.2.1".parse().unwrap()];
        let mut unsure = Unsure::default();
        let first = gifts(&listed(&[("late", "1", None)]), &pools, &mut unsure);
        unsure.remember(first[0].clone());
        let taken = [("early", "2", Some("192.0.2.1")), ("late", "1", None)];
        assert_eq!(gifts(&listed(&taken), &pools, &mut unsure), []);
    }
}
