//! What rules depend on besides manifests and flags: the node's addresses, families, counters and
//! settings.

use std::net::IpAddr;
use std::path::Path;

use crate::kernel::nfacct::{self, NfacctError};
use crate::kernel::sysctl::{self, SysctlError};
use crate::kernel::{Socket, link};
use crate::model::IpFamily;
use crate::translate::iptables::NfacctObjects;

/// Packets for 127.0.0.0/8 may come in by other interfaces: needed for node ports on localhost.
const ROUTE_LOCALNET: &str = "net/ipv4/conf/all/route_localnet";
/// Conntrack lets packets outside the TCP window pass instead of calling them INVALID.
const TCP_BE_LIBERAL: &str = "net/netfilter/nf_conntrack_tcp_be_liberal";

/// A fact could not be found out or a setting not be made.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// Addresses.
    #[error(transparent)]
    Link(#[from] link::LinkError),
    /// Counters.
    #[error(transparent)]
    Nfacct(#[from] NfacctError),
    /// Settings.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
}

/// Facts of the network namespace that the calling thread is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Addresses of all interfaces.
    pub local_addresses: Vec<IpAddr>,
    /// The families the node speaks.
    pub families: Vec<IpFamily>,
    /// nfacct objects that rules may name.
    pub nfacct: NfacctObjects,
    /// Packets in state INVALID are let through.
    pub tcp_be_liberal: bool,
}

impl NodeFacts {
    /// What `render` takes for granted where it may not ask: a node with both families and a
    /// kernel with nfacct, whose only addresses are those its Node object lists.
    #[must_use]
    pub fn assumed(node_addresses: &[IpAddr], nfacct: bool) -> Self {
        let usable = NfacctObjects {
            ct_state_invalid: nfacct,
            localhost_node_ports: nfacct,
        };
        Self {
            local_addresses: node_addresses.to_vec(),
            families: IpFamily::ALL.to_vec(),
            nfacct: usable,
            tcp_be_liberal: false,
        }
    }

    /// Finds the facts out and changes nothing.
    ///
    /// # Errors
    /// A question the kernel did not answer; "there is no such thing" is an answer.
    pub fn probe(socket: &mut Socket) -> Result<Self, FactsError> {
        let addresses = link::local_addresses()?
            .into_iter()
            .map(|local| local.address)
            .collect();
        let families = if has_ipv6() {
            IpFamily::ALL.to_vec()
        } else {
            vec![IpFamily::V4]
        };
        let nfacct = if nfacct::available(socket)? {
            NfacctObjects::both()
        } else {
            NfacctObjects::default()
        };
        Ok(Self {
            local_addresses: addresses,
            families,
            nfacct,
            tcp_be_liberal: optional_sysctl(TCP_BE_LIBERAL)?.is_some_and(|value| value != 0),
        })
    }
}

/// IPv6 is compiled in and not switched off, by kube-proxy's two tests.
fn has_ipv6() -> bool {
    Path::new("/proc/net/if_inet6").exists()
        && !matches!(sysctl::get("net/ipv6/conf/all/disable_ipv6"), Ok(1))
}

fn optional_sysctl(name: &str) -> Result<Option<i64>, SysctlError> {
    match sysctl::get(name) {
        Ok(value) => Ok(Some(value)),
        Err(SysctlError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Things besides rules that the rules need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prerequisites {
    /// The nfacct objects that rules name.
    pub nfacct: NfacctObjects,
    /// Node ports are to answer on 127.0.0.1.
    pub route_localnet: bool,
}

impl Prerequisites {
    /// Names the prerequisites that are not met yet.
    ///
    /// # Errors
    /// A setting cannot be read.
    pub fn missing(self) -> Result<Vec<String>, FactsError> {
        let off = self.route_localnet && optional_sysctl(ROUTE_LOCALNET)? != Some(1);
        Ok(if off {
            vec![format!("sysctl {} = 1", ROUTE_LOCALNET.replace('/', "."))]
        } else {
            vec![]
        })
    }

    /// Meets them, changing only what differs, and names what was changed.
    ///
    /// # Errors
    /// The kernel refused a counter or a setting.
    pub fn ensure(self, socket: &mut Socket) -> Result<Vec<String>, FactsError> {
        let mut done = Vec::new();
        let counters = [
            (
                self.nfacct.ct_state_invalid,
                NfacctObjects::CT_STATE_INVALID,
            ),
            (
                self.nfacct.localhost_node_ports,
                NfacctObjects::LOCALHOST_NODE_PORTS,
            ),
        ];
        for (_, name) in counters.into_iter().filter(|(wanted, _)| *wanted) {
            if nfacct::ensure(socket, name)? {
                done.push(format!("nfacct object {name}"));
            }
        }
        if self.route_localnet && sysctl::set(ROUTE_LOCALNET, 1)? {
            done.push(format!("sysctl {} = 1", ROUTE_LOCALNET.replace('/', ".")));
        }
        Ok(done)
    }
}
