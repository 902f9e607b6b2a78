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
