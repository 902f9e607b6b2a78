//! What rules depend on besides manifests and flags: the node's addresses, families, counters and
//! settings.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use crate::kernel::ipvs::{IpvsKernel as _, IpvsSocket, Timeouts};
use crate::kernel::link::LocalAddress;
use crate::kernel::nfacct::{self, NfacctError};
use crate::kernel::sysctl::{self, SysctlError};
use crate::kernel::{Socket, ipvs, link};
use crate::model::IpFamily;
use crate::plan::ipvs::DEVICE;
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
    /// Timeouts of IPVS.
    #[error(transparent)]
    Ipvs(#[from] ipvs::IpvsError),
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
        let addresses = addresses_of_node(link::local_addresses()?);
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

/// All but those of the dummy device of the IPVS mode, which are addresses of Services, even where
/// another link has them too.
fn addresses_of_node(all: Vec<LocalAddress>) -> Vec<IpAddr> {
    let of_services = all.iter().filter(|local| local.interface == DEVICE);
    let of_services: BTreeSet<_> = of_services.map(|local| local.address).collect();
    let all = all.into_iter().map(|local| local.address);
    all.filter(|address| !of_services.contains(address))
        .collect()
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prerequisites {
    /// The nfacct objects that rules name.
    pub nfacct: NfacctObjects,
    /// Node ports are to answer on 127.0.0.1.
    pub route_localnet: bool,
    /// Settings of the IPVS mode; one that is refused is reported and does not stop the others.
    pub sysctls: Vec<(&'static str, i64)>,
    /// Timeouts of IPVS, where any is asked for.
    pub timeouts: Option<Timeouts>,
}

impl Prerequisites {
    /// Names the prerequisites that are not met yet.
    ///
    /// # Errors
    /// A setting cannot be read.
    pub fn missing(&self) -> Result<Vec<String>, FactsError> {
        let mut missing = Vec::new();
        let route_localnet = self.route_localnet.then_some((ROUTE_LOCALNET, 1));
        for (name, value) in route_localnet.iter().chain(&self.sysctls) {
            if optional_sysctl(name)? != Some(*value) {
                missing.push(setting(name, *value));
            }
        }
        if let Some(timeouts) = self.timeouts
            && !timeouts.is_met_by(IpvsSocket::open()?.timeouts()?)
        {
            missing.push(words(timeouts));
        }
        Ok(missing)
    }

    /// Meets them, changing only what differs, and names what was changed.
    ///
    /// # Errors
    /// The kernel refused a counter or a setting.
    pub fn ensure(&self, socket: &mut Socket) -> Result<Vec<String>, FactsError> {
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
            done.push(setting(ROUTE_LOCALNET, 1));
        }
        let (set, refused) = self.set_sysctls();
        done.extend(set);
        for error in refused {
            let reason = std::error::Error::source(&error).map(ToString::to_string);
            let reason = reason.unwrap_or_default();
            tracing::warn!("{error}: {reason}; the IPVS mode needs it");
        }
        if let Some(timeouts) = self.timeouts
            && IpvsSocket::open()?.set_timeouts(timeouts)?
        {
            done.push(words(timeouts));
        }
        Ok(done)
    }

    /// Makes the settings of the IPVS mode that are not as they should be: those that were changed,
    /// and those that were refused.
    #[must_use]
    pub fn set_sysctls(&self) -> (Vec<String>, Vec<SysctlError>) {
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        for (name, value) in &self.sysctls {
            match sysctl::set(name, *value) {
                Ok(true) => done.push(setting(name, *value)),
                Ok(false) => {}
                Err(error) => refused.push(error),
            }
        }
        (done, refused)
    }
}

fn setting(name: &str, value: i64) -> String {
    format!("sysctl {} = {value}", name.replace('/', "."))
}

fn words(timeouts: Timeouts) -> String {
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    format!("ipvs timeouts tcp {tcp} tcpfin {tcp_fin} udp {udp} (seconds; 0 for the kernel's)")
}
