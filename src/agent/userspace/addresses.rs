//! Which address of the node the agent's sockets have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::agent::node::own_node;
use crate::config::ProxyConfig;
use crate::model::{IpFamily, Snapshot};

/// One address of the node in each family.
///
/// Loopback would not do: the kernel takes no packets for it from other machines or pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    v4: IpAddr,
    v6: IpAddr,
}

impl Addresses {
    /// The address of the Node object if this machine has it, else the first that other machines
    /// can reach; loopback where there is neither, since then nobody else comes.
    #[must_use]
    pub fn choose(snapshot: &Snapshot, config: &ProxyConfig, local: &[IpAddr]) -> Self {
        let of_object = own_node(snapshot, config, &[]);
        let of_machine = own_node(&Snapshot::default(), config, local);
        let choose = |family, loopback| {
            let listed = of_object.address(family).filter(|ip| local.contains(ip));
            listed
                .or_else(|| of_machine.address(family))
                .unwrap_or(loopback)
        };
        Self {
            v4: choose(IpFamily::V4, Ipv4Addr::LOCALHOST.into()),
            v6: choose(IpFamily::V6, Ipv6Addr::LOCALHOST.into()),
        }
    }

    /// The address of a family.
    #[must_use]
    pub fn of(&self, family: IpFamily) -> IpAddr {
        match family {
            IpFamily::V4 => self.v4,
            IpFamily::V6 => self.v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProxyFlags;
    use crate::model::Node;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: ProxyFlags,
    }

    #[test]
    fn the_node_objects_address_counts_if_the_machine_has_it() {
        let flags = Line::parse_from(["portolan"]).flags;
        let config = ProxyConfig::from_flags(&flags, "n0").unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut snapshot = Snapshot::default();
        let node = Node {
            name: "n0".into(),
            addresses: vec![ip("192.168.10.100")],
            ..Node::default()
        };
        snapshot.nodes.insert("n0".into(), node);
        let choose = |local: &[&str]| {
            let local: Vec<_> = local.iter().copied().map(ip).collect();
            let chosen = Addresses::choose(&snapshot, &config, &local);
            IpFamily::ALL.map(|family| chosen.of(family).to_string())
        };
        let both = [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.10.100",
            "fe80::1",
            "fd00::1",
        ];
        assert_eq!(choose(&both), ["192.168.10.100", "fd00::1"]);
        assert_eq!(choose(&both[..2]), ["10.0.0.1", "::1"]);
        assert_eq!(choose(&both[..1]), ["127.0.0.1", "::1"]);
    }
}
