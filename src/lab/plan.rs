//! Who has which address: the three nodes of the course, and what is around them.
//!
//! Pure. Service and pod ranges are the defaults of every other verb.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The network that nodes, client and balancer are on.
pub const LAN: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 10, 0), 24);
/// Pod networks come out of this one.
pub const PODS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 233, 64, 0), 18);
/// Cluster IPs come out of this one.
pub const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 233, 0, 0), 18);
/// The cluster IP of DNS, kubespray's.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 233, 0, 3);
/// What external names stand for: addresses that documentation may use (RFC 5737).
pub const OUTSIDE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24);

/// Nodes a lab may have.
pub const MAX_NODES: u8 = 16;
/// Pods a node may have: what its network has room for, without network, gateway and broadcast.
pub const MAX_PODS: usize = 253;

/// The router of the network, where the world outside begins.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
/// The outside client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 10);
/// The outside balancer.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 20);

/// The name of a node, counted from 1.
#[must_use]
pub fn node_name(number: u8) -> String {
    format!("n{number}")
}

/// Its address: .100, .150 and .200 as in the course, .201 and so on beyond.
#[must_use]
pub fn node_address(number: u8) -> Ipv4Addr {
    let host = match number {
        0..=2 => 50 + 50 * number,
        more => 197 + more,
    };
    Ipv4Addr::new(192, 168, 10, host)
}

/// The network of its pods.
#[must_use]
pub fn pod_network(number: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(10, 233, 63 + number, 0), 24)
}

/// What pods of the node have as their router: the node itself.
#[must_use]
pub fn gateway(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 233, 63 + number, 1)
}

/// The next free address for a pod, behind the last one given: one that was just freed may still be
/// known to somebody.
#[must_use]
pub fn next_pod_address(number: u8, last: u8, taken: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    let after = (u16::from(last) + 1)..=254;
    let before = 2..=u16::from(last);
    after.chain(before).find_map(|host| {
        let host = u8::try_from(host).ok().filter(|host| *host >= 2)?;
        let address = Ipv4Addr::new(10, 233, 63 + number, host);
        (!taken.contains(&address)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_nodes_have_the_addresses_of_the_course() {
        let addresses: Vec<_> = (1..=5).map(|n| node_address(n).octets()[3]).collect();
        assert_eq!(addresses, [100, 150, 200, 201, 202]);
        assert!(LAN.contains(&node_address(MAX_NODES)));
        assert_eq!(pod_network(1).to_string(), "10.233.64.0/24");
        assert!(PODS.contains(&pod_network(MAX_NODES)));
    }

    #[test]
    fn addresses_of_pods_go_round_before_they_come_back() {
        let ip = |host| Ipv4Addr::new(10, 233, 64, host);
        assert_eq!(next_pod_address(1, 1, &[]), Some(ip(2)));
        assert_eq!(next_pod_address(1, 2, &[]), Some(ip(3)));
        assert_eq!(next_pod_address(1, 254, &[ip(2)]), Some(ip(3)));
        let all: Vec<_> = (2..=254).map(ip).collect();
        assert_eq!(next_pod_address(1, 7, &all), None);
    }
}
