//! Chain names. Those of service ports and endpoints are hashes, the same on every node and for
//! every kube-proxy since 1.3: people and tools look chains up by them.

use std::net::SocketAddr;
use std::sync::Arc;

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

use crate::model::ServicePortName;

/// Dispatch by destination, in `nat` and `filter`.
pub const SERVICES: &str = "KUBE-SERVICES";
/// Front ends outside the cluster that have nowhere to go, in `filter`.
pub const EXTERNAL_SERVICES: &str = "KUBE-EXTERNAL-SERVICES";
/// Node ports in `nat`, health-check node ports in `filter`.
pub const NODE_PORTS: &str = "KUBE-NODEPORTS";
/// Forwarded traffic of services, in `filter`.
pub const FORWARD: &str = "KUBE-FORWARD";
/// What source ranges refuse, in `filter`.
pub const PROXY_FIREWALL: &str = "KUBE-PROXY-FIREWALL";
/// Protection of localhost node ports, in `filter`; shared with kubelet.
pub const FIREWALL: &str = "KUBE-FIREWALL";
/// Masquerading of marked packets, in `nat`.
pub const POSTROUTING: &str = "KUBE-POSTROUTING";
/// Marks packets for masquerading, in `nat`.
pub const MARK_MASQ: &str = "KUBE-MARK-MASQ";

/// Beginnings of the names of chains that belong to one service port, all in `nat`.
pub const SERVICE_PREFIXES: [&str; 5] = [
    "KUBE-SVC-",
    "KUBE-SVL-",
    "KUBE-SEP-",
    "KUBE-FW-",
    "KUBE-EXT-",
];

/// The names of a service port's chains.
#[derive(Clone, Debug)]
pub struct ServiceChainNames {
    hash: String,
    /// Hash state after service port name and protocol; endpoints continue from it.
    state: Sha256,
}

impl ServiceChainNames {
    /// Hashes a service port's name (its text, then the protocol in lower case).
    #[must_use]
    pub fn new(name: &ServicePortName) -> Self {
        let mut state = Sha256::new();
        state.update(name.to_string());
        state.update(name.protocol.lower());
        Self {
            hash: short_hash(state.clone()),
            state,
        }
    }

    /// Endpoints of the whole cluster.
    #[must_use]
    pub fn cluster(&self) -> Arc<str> {
        self.with_prefix("KUBE-SVC-")
    }

    /// Endpoints of this node.
    #[must_use]
    pub fn local(&self) -> Arc<str> {
        self.with_prefix("KUBE-SVL-")
    }

    /// Traffic from outside.
    #[must_use]
    pub fn external(&self) -> Arc<str> {
        self.with_prefix("KUBE-EXT-")
    }

    /// Source ranges.
    #[must_use]
    pub fn firewall(&self) -> Arc<str> {
        self.with_prefix("KUBE-FW-")
    }

    /// One endpoint.
    #[must_use]
    pub fn endpoint(&self, socket: SocketAddr) -> Arc<str> {
        let mut state = self.state.clone();
        state.update(socket.to_string());
        format!("KUBE-SEP-{}", short_hash(state)).into()
    }

    fn with_prefix(&self, prefix: &str) -> Arc<str> {
        format!("{prefix}{}", self.hash).into()
    }
}

/// The first 16 characters of the hash in base32: 10 bytes exactly.
fn short_hash(state: Sha256) -> String {
    let digest = state.finalize();
    let mut text = BASE32.encode(&digest);
    text.truncate(16);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NamespacedName, Protocol};

    fn names(service: &str, port: &str, protocol: Protocol) -> ServiceChainNames {
        let (namespace, name) = service.split_once('/').unwrap();
        ServiceChainNames::new(&ServicePortName {
            service: NamespacedName::new(namespace, name),
            port: port.into(),
            protocol,
        })
    }

    #[test]
    fn service_chains_have_the_names_kube_proxy_gives_them() {
        use Protocol::{Tcp, Udp};
        let table = [
            ("ns1/svc1", "p80", Tcp, "XPGD46QRK7WJZT7O"),
            ("ns2/svc2", "p80", Tcp, "GNZBNJ2PO5MGZ6GT"),
            ("ns3/svc3", "p80", Tcp, "X27LE4BHSL4DOUIK"),
            ("ns4/svc4", "p80", Tcp, "4SW47YFZTEDKD3PK"),
            ("ns5/svc5", "p80", Tcp, "NUKIZ6OKUXPJNT4C"),
            ("ns2/svc2", "p8080", Tcp, "2VJB64SDSIJUP5T6"),
            ("ns4/svc4", "p8082", Tcp, "EBDQOQU5SJFXRIL3"),
            ("ns1/svc1", "", Tcp, "AQI2S6QIMU7PVVRP"),
            ("ns1/svc1", "p80", Udp, "OJWW7NSBVZTDHXNW"),
            ("default/kubernetes", "https", Tcp, "NPX46M4PTMTKRN6Y"),
            ("kube-system/kube-dns", "dns", Udp, "TCOU7JCQXEZGVUNU"),
            ("kube-system/kube-dns", "dns-tcp", Tcp, "ERIFXISQEP7F7OF4"),
        ];
        for (service, port, protocol, hash) in table {
            let names = names(service, port, protocol);
            assert_eq!(&*names.cluster(), format!("KUBE-SVC-{hash}"));
            assert_eq!(&*names.local(), format!("KUBE-SVL-{hash}"));
            assert_eq!(&*names.external(), format!("KUBE-EXT-{hash}"));
            assert_eq!(&*names.firewall(), format!("KUBE-FW-{hash}"));
        }
    }

    #[test]
    fn endpoint_chains_have_the_names_kube_proxy_gives_them() {
        let table = [
            ("ns1/svc1", "p80", "10.180.0.1:80", "SXIVWICOYRO3J4NJ"),
            ("ns2/svc2", "p80", "10.180.0.2:80", "RS4RBKLTHTF2IUXJ"),
            ("ns3/svc3", "p80", "10.180.0.3:80", "OYPFS5VJICHGATKP"),
            ("ns4/svc4", "p80", "10.180.0.4:80", "UKSFD7AGPMPPLUHC"),
            ("ns4/svc4", "p80", "10.180.0.5:80", "C6EBXVWJJZMIWKLZ"),
            ("ns5/svc5", "p80", "10.180.0.3:80", "I77PXRDZVX7PMWMN"),
            ("ns1/svc1", "p80", "10.0.0.0:80", "DKGQUZGBKLTPAR56"),
            ("ns3/svc3", "p8081", "203.0.113.4:8081", "RUVVH7YV3PHQBDOS"),
            ("ns4/svc4", "p8082", "10.4.0.1:8082", "SU5STNODRYEWJAUF"),
            ("ns1/svc1", "p80", "[fd00:10:180::1]:80", "OGYCNMB4EMRUSJ6N"),
        ];
        for (service, port, endpoint, hash) in table {
            let name = names(service, port, Protocol::Tcp).endpoint(endpoint.parse().unwrap());
            assert_eq!(&*name, format!("KUBE-SEP-{hash}"));
        }
    }
}
