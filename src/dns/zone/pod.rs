//! `10-233-65-1.NAMESPACE.pod.ZONE`.

use std::net::IpAddr;

use super::Zone;
use super::answer::{Answer, Ask};
use super::options::PodRecords;

impl Zone {
    pub(super) fn pod(&self, ask: Ask<'_>, pod: &[u8], namespace: &[u8]) -> Answer {
        let address = match self.options.pods {
            PodRecords::Disabled => None,
            PodRecords::Insecure => address(pod).filter(|_| self.has_namespace(namespace)),
            PodRecords::Verified => {
                address(pod).filter(|address| self.has_pod(*address, namespace))
            }
        };
        match address {
            None => self.no_name(ask),
            Some(address) => self.records(ask, self.addresses_of(ask, [address].into_iter())),
        }
    }

    /// Whether an endpoint of a Service in this namespace is a pod with this address.
    fn has_pod(&self, address: IpAddr, namespace: &[u8]) -> bool {
        let services = self.addresses.get(&address).into_iter().flatten();
        services
            .filter(|service| service.namespace.as_bytes().eq_ignore_ascii_case(namespace))
            .filter_map(|service| self.entry_of(service))
            .flat_map(|entry| entry.endpoints.iter().flatten())
            .any(|target| target.address == address && target.pod.is_some())
    }
}

/// Three dashes, none of them together, are an IPv4 address; anything else with dashes is IPv6.
fn address(label: &[u8]) -> Option<IpAddr> {
    let label = std::str::from_utf8(label).ok()?;
    let dashes = label.bytes().filter(|&b| b == b'-').count();
    if dashes == 3 && !label.contains("--") {
        label.replace('-', ".").parse().ok().map(IpAddr::V4)
    } else {
        label.replace('-', ":").parse().ok().map(IpAddr::V6)
    }
}
