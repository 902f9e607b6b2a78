//! Namespaces, links, addresses and routes of a lab.
//!
//! ```text
//!   client .10   balancer .20   router .1 ── what external names stand for
//!      └────────────┬──────────────┘
//!     switch [br0] ─┴─ 192.168.10.0/24 ──┬───────────────────┐
//!        │                               │                   │
//!     n1 eth0 .100                    n2 eth0 .150        n3 eth0 .200
//!        10.233.64.1                     10.233.65.1         10.233.66.1
//!        ├ pod2 ── 10.233.64.2           └ …                 └ …
//!        └ pod3 ── 10.233.64.3
//! ```
//!
//! A pod has a link of its own to its node, and a route of its own there, as with Calico. All its
//! packets pass the node's routing, which is where Services are, even those to a pod beside it.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::LabError;
use super::place::{Place, netns};
use super::plan;
use super::state::{NodeState, PodState};
use crate::kernel::netdev::{Netdev, NetdevError, NextHop};
use crate::kernel::netns::run_in;
use crate::kernel::{named_netns, sysctl};

/// The machine that all others are plugged into.
pub(super) const SWITCH: &str = "switch";
/// The machine where the world begins.
pub(super) const ROUTER: &str = "router";
/// The machine outside that clients run on.
pub(super) const CLIENT: &str = "client";
/// The machine outside that a balancer runs on.
pub(super) const BALANCER: &str = "balancer";

const BRIDGE: &str = "br0";
/// The link that every machine and every pod has.
const LINK: &str = "eth0";
const LOOPBACK: &str = "lo";
const EVERYWHERE: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));

/// In force in every namespace before it has links. No reverse-path filters and no redirects:
/// replies come the way that suits the nodes. No limit for ICMP errors: refused connections are to
/// be refused at once, all of them. IPv6 addresses of links are usable at once.
const SETTINGS: [(&str, i64); 7] = [
    ("net/ipv4/conf/all/rp_filter", 0),
    ("net/ipv4/conf/default/rp_filter", 0),
    ("net/ipv4/conf/all/send_redirects", 0),
    ("net/ipv4/conf/default/send_redirects", 0),
    ("net/ipv4/conf/default/accept_redirects", 0),
    ("net/ipv4/icmp_ratelimit", 0),
    ("net/ipv6/conf/default/accept_dad", 0),
];

/// The switch, and the machines on it that are not nodes.
pub(super) fn build_lan(place: &Place, nodes: &[NodeState]) -> Result<(), LabError> {
    create(&place.machine(SWITCH), false, |netdev| {
        netdev.add_bridge(BRIDGE)
    })?;
    let machines = [
        (CLIENT, plan::CLIENT),
        (BALANCER, plan::BALANCER),
        (ROUTER, plan::ROUTER),
    ];
    for (name, address) in machines {
        add_machine(place, name, address, name == ROUTER, |netdev| {
            if name != ROUTER {
                return default_route(netdev, plan::ROUTER);
            }
            // Pods reach the world without a change of their address, and hear from it again.
            nodes.iter().try_for_each(|node| pods_of(netdev, node))
        })?;
    }
    Ok(())
}

/// A node, which knows the way to the pods of all others.
pub(super) fn build_node(
    place: &Place,
    node: &NodeState,
    all: &[NodeState],
) -> Result<(), LabError> {
    add_machine(place, &node.name, node.address, true, |netdev| {
        let gateway = IpNet::from(IpAddr::V4(plan::gateway(node.number)));
        netdev.add_address(LOOPBACK, gateway)?;
        default_route(netdev, plan::ROUTER)?;
        let others = all.iter().filter(|other| other.number != node.number);
        others.clone().try_for_each(|other| pods_of(netdev, other))
    })
}

/// A pod, plugged into its node.
pub(super) fn build_pod(place: &Place, pod: &PodState, node: &NodeState) -> Result<(), LabError> {
    let name = place.pod(&pod.namespace, &pod.name);
    let address = IpNet::from(IpAddr::V4(pod.address));
    create(&name, false, |_| Ok(()))?;
    let file = File::open(named_netns::path(&name))?;
    run_in(&netns(&place.machine(&node.name)), || {
        let netdev = Netdev::open()?;
        let link = format!("pod{}", pod.serial);
        netdev.add_veth(&link, LINK, &file)?;
        netdev.add_route(address, NextHop::Link(&link))
    })??;
    run_in(&netns(&name), || {
        let netdev = Netdev::open()?;
        netdev.add_address(LINK, address)?;
        netdev.set_up(LINK, true)?;
        default_route(&netdev, plan::gateway(node.number))
    })??;
    Ok(())
}

/// Gives the router an address of the world outside.
pub(super) fn add_outside(place: &Place, address: Ipv4Addr) -> Result<(), LabError> {
    run_in(&netns(&place.machine(ROUTER)), || {
        Netdev::open()?.add_address(LOOPBACK, IpAddr::V4(address).into())
    })??;
    Ok(())
}

/// Pulls the plug of a node, or puts it back.
pub(super) fn set_plugged(place: &Place, node: &str, plugged: bool) -> Result<(), LabError> {
    run_in(&netns(&place.machine(SWITCH)), || {
        Netdev::open()?.set_up(node, plugged)
    })??;
    Ok(())
}

fn default_route(netdev: &Netdev, router: Ipv4Addr) -> Result<(), NetdevError> {
    netdev.add_route(EVERYWHERE, NextHop::Via(router.into(), LINK))
}

fn pods_of(netdev: &Netdev, node: &NodeState) -> Result<(), NetdevError> {
    let network = plan::pod_network(node.number);
    netdev.add_route(network.into(), NextHop::Via(node.address.into(), LINK))
}

/// A machine with an address, plugged into the switch.
fn add_machine(
    place: &Place,
    name: &str,
    address: Ipv4Addr,
    forwards: bool,
    set_up: impl FnOnce(&Netdev) -> Result<(), NetdevError> + Send,
) -> Result<(), LabError> {
    let own = place.machine(name);
    create(&own, forwards, |_| Ok(()))?;
    let file = File::open(named_netns::path(&own))?;
    run_in(&netns(&place.machine(SWITCH)), || {
        let netdev = Netdev::open()?;
        netdev.add_veth(name, LINK, &file)?;
        netdev.plug(name, BRIDGE)
    })??;
    run_in(&netns(&own), || {
        let netdev = Netdev::open()?;
        let network = Ipv4Net::new_assert(address, plan::LAN.prefix_len());
        netdev.add_address(LINK, network.into())?;
        netdev.set_up(LINK, true)?;
        set_up(&netdev)
    })??;
    Ok(())
}

/// A namespace with our settings and a loopback link that is up.
fn create(
    name: &str,
    forwards: bool,
    set_up: impl FnOnce(&Netdev) -> Result<(), NetdevError> + Send,
) -> Result<(), LabError> {
    named_netns::create(name)?;
    run_in(&netns(name), || -> Result<(), LabError> {
        let forwarding = ("net/ipv4/ip_forward", i64::from(forwards));
        for (setting, value) in SETTINGS.into_iter().chain([forwarding]) {
            match sysctl::set(setting, value) {
                // A kernel without IPv6.
                Err(sysctl::SysctlError::Missing { .. }) if setting.starts_with("net/ipv6") => {}
                outcome => drop(outcome?),
            }
        }
        let netdev = Netdev::open()?;
        netdev.set_up(LOOPBACK, true)?;
        Ok(set_up(&netdev)?)
    })?
}
