//! The validated configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;

use super::flags::{DetectLocalMode, Mode, ProxyFlags};
use super::ipvs::IpvsConfig;
use crate::model::IpFamily;

/// Every mistake found in one command line.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl std::error::Error for ConfigErrors {}

/// One mistake a line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// How pod traffic is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectLocal {
    /// Source in the first of these CIDRs that is of the packet's family; none: no detection.
    ClusterCidr(Vec<IpNet>),
    /// Source in the Node's `spec.podCIDRs`.
    NodeCidr,
    /// In-interface with this name.
    BridgeInterface(Arc<str>),
    /// In-interface whose name has this prefix.
    InterfaceNamePrefix(Arc<str>),
}

/// `--nodeport-addresses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortSelector {
    /// Local addresses inside these CIDRs; all of them if the list is empty.
    Cidrs(Vec<IpNet>),
    /// The node's own address of each family.
    Primary,
}

/// What rules are to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Back end.
    pub mode: Mode,
    /// Name of this node, lower case.
    pub node_name: Arc<str>,
    /// How pod traffic is recognised.
    pub detect_local: DetectLocal,
    /// Ranges of cluster IPs: one or two, of different families, primary first.
    pub service_cidrs: Vec<IpNet>,
    /// Range of node ports.
    pub node_ports: RangeInclusive<u16>,
    /// Addresses that node ports answer on.
    pub node_port_addresses: NodePortSelector,
    /// Masquerade everything to cluster IPs.
    pub masquerade_all: bool,
    /// Bit of the masquerade mark, 0 to 31.
    pub masquerade_bit: u8,
    /// Node ports on 127.0.0.1 wanted.
    pub localhost_node_ports: bool,
    /// What only the IPVS mode reads.
    pub ipvs: IpvsConfig,
}

impl ProxyConfig {
    /// Validates flags. `host_name` is the name of the machine, used where `--node-name` is not
    /// given.
    ///
    /// # Errors
    /// All mistakes at once, each naming its flag.
    pub fn from_flags(flags: &ProxyFlags, host_name: &str) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let config = Self {
            mode: flags.mode,
            node_name: node_name(flags, host_name, &mut errors),
            detect_local: detect_local(flags, &mut errors),
            service_cidrs: service_cidrs(flags, &mut errors),
            node_ports: node_port_range(flags, &mut errors),
            node_port_addresses: node_port_selector(flags, &mut errors),
            masquerade_all: flags.masquerade_all,
            masquerade_bit: flags.iptables_masquerade_bit,
            localhost_node_ports: flags.iptables_localhost_nodeports,
            ipvs: IpvsConfig::from_flags(&flags.ipvs, &mut errors),
        };
        if flags.iptables_masquerade_bit > 31 {
            errors.push(format!(
                "--iptables-masquerade-bit: {} is not a bit of a 32-bit mark: use 0 to 31",
                flags.iptables_masquerade_bit
            ));
        }
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors(errors))
        }
    }
}

impl ProxyConfig {
    /// Node ports of the iptables mode are to answer on 127.0.0.1, which needs the kernel setting
    /// `route_localnet`.
    #[must_use]
    pub fn wants_route_localnet(&self) -> bool {
        let loopback = match &self.node_port_addresses {
            NodePortSelector::Primary => false,
            NodePortSelector::Cidrs(cidrs) => {
                let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
                cidrs.is_empty() || cidrs.iter().any(|net| net.contains(&localhost))
            }
        };
        self.mode == Mode::Iptables && self.localhost_node_ports && loopback
    }
}

fn node_name(flags: &ProxyFlags, host_name: &str, errors: &mut Vec<String>) -> Arc<str> {
    let name = flags
        .node_name
        .as_deref()
        .unwrap_or(host_name)
        .trim()
        .to_lowercase();
    if name.is_empty() {
        errors.push("--node-name: the node needs a name, and the host has none".to_owned());
    }
    name.into()
}

/// Parses a comma-separated list of CIDRs; host bits are dropped, as kube-proxy does.
pub(super) fn cidr_list(flag: &str, text: &str, errors: &mut Vec<String>) -> Vec<IpNet> {
    let parse = |part: &str| match part.trim().parse::<IpNet>() {
        Ok(net) => Some(net.trunc()),
        Err(_) => {
            errors.push(format!(
                "{flag}: \"{}\" is not a CIDR such as 10.233.64.0/18",
                part.trim()
            ));
            None
        }
    };
    if text.trim().is_empty() {
        Vec::new()
    } else {
        text.split(',').filter_map(parse).collect()
    }
}

/// The family of a CIDR.
fn family_of(net: IpNet) -> IpFamily {
    IpFamily::of(net.addr())
}

fn one_per_family(flag: &str, cidrs: &[IpNet], errors: &mut Vec<String>) {
    if cidrs.len() > 2 || (cidrs.len() == 2 && family_of(cidrs[0]) == family_of(cidrs[1])) {
        errors.push(format!(
            "{flag}: at most one CIDR for each of IPv4 and IPv6"
        ));
    }
}

fn detect_local(flags: &ProxyFlags, errors: &mut Vec<String>) -> DetectLocal {
    let cidrs = cidr_list("--cluster-cidr", &flags.cluster_cidr, errors);
    one_per_family("--cluster-cidr", &cidrs, errors);
    let mut named = |flag: &str, mode: &str, value: &str| -> Arc<str> {
        if value.is_empty() {
            errors.push(format!("{flag}: needed with --detect-local-mode={mode}"));
        } else if value.len() > 15 {
            errors.push(format!(
                "{flag}: \"{value}\" is longer than the 15 bytes of a link name"
            ));
        }
        value.into()
    };
    match flags.detect_local_mode {
        DetectLocalMode::ClusterCidr => DetectLocal::ClusterCidr(cidrs),
        DetectLocalMode::NodeCidr => DetectLocal::NodeCidr,
        DetectLocalMode::BridgeInterface => DetectLocal::BridgeInterface(named(
            "--pod-bridge-interface",
            "BridgeInterface",
            &flags.pod_bridge_interface,
        )),
        DetectLocalMode::InterfaceNamePrefix => DetectLocal::InterfaceNamePrefix(named(
            "--pod-interface-name-prefix",
            "InterfaceNamePrefix",
            &flags.pod_interface_name_prefix,
        )),
    }
}

/// The API server's rules for `--service-cluster-ip-range`: one or two ranges of different
/// families, at least 8 addresses each, an IPv6 prefix of /64 or longer.
fn service_cidrs(flags: &ProxyFlags, errors: &mut Vec<String>) -> Vec<IpNet> {
    let flag = "--service-cidr";
    let cidrs = cidr_list(flag, &flags.service_cidr, errors);
    one_per_family(flag, &cidrs, errors);
    if flags.service_cidr.trim().is_empty() {
        errors.push(format!("{flag}: at least one CIDR is needed"));
    }
    for net in &cidrs {
        let host_bits = family_of(*net).host_prefix() - net.prefix_len();
        if host_bits < 3 {
            errors.push(format!(
                "{flag}: {net} is too small: at least 8 addresses are needed"
            ));
        }
        if family_of(*net) == IpFamily::V6 && net.prefix_len() < 64 {
            errors.push(format!(
                "{flag}: {net} is too large: use /64 or a longer prefix"
            ));
        }
    }
    cidrs
}

fn node_port_range(flags: &ProxyFlags, errors: &mut Vec<String>) -> RangeInclusive<u16> {
    let text = flags.service_node_port_range.trim();
    let parsed = text.split_once('-').and_then(|(from, to)| {
        let (from, to) = (
            from.trim().parse::<u16>().ok()?,
            to.trim().parse::<u16>().ok()?,
        );
        (from > 0 && from <= to).then_some(from..=to)
    });
    parsed.unwrap_or_else(|| {
        errors.push(format!(
            "--service-node-port-range: \"{text}\" is not a range of ports such as 30000-32767"
        ));
        30000..=32767
    })
}

fn node_port_selector(flags: &ProxyFlags, errors: &mut Vec<String>) -> NodePortSelector {
    let flag = "--nodeport-addresses";
    let text = flags.nodeport_addresses.trim();
    if text == "primary" {
        return NodePortSelector::Primary;
    }
    if text.split(',').any(|part| part.trim() == "primary") {
        errors.push(format!("{flag}: \"primary\" stands alone, not among CIDRs"));
        return NodePortSelector::Primary;
    }
    NodePortSelector::Cidrs(cidr_list(flag, text, errors))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: ProxyFlags,
    }

    fn config(flags: &[&str]) -> Result<ProxyConfig, ConfigErrors> {
        let line = std::iter::once(&"portolan").chain(flags);
        ProxyConfig::from_flags(&Line::parse_from(line).flags, "Node-1")
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn without_flags_the_cluster_is_kubesprays_and_the_node_this_machine() {
        let config = config(&[]).unwrap();
        assert_eq!(&*config.node_name, "node-1");
        assert_eq!(config.service_cidrs, nets(&["10.233.0.0/18"]));
        assert_eq!(config.node_ports, 30000..=32767);
        let pods = DetectLocal::ClusterCidr(nets(&["10.233.64.0/18"]));
        assert_eq!(config.detect_local, pods);
        assert_eq!(config.masquerade_bit, 14);
        assert!(config.localhost_node_ports);
    }

    #[test]
    fn every_mistake_of_a_command_line_is_named_at_once() {
        let errors = config(&[
            "--node-name= ",
            "--cluster-cidr=10.0.0.0/8,10.1.0.0/16",
            "--service-cidr=10.96.0.0/30,fd00::/48",
            "--service-node-port-range=32000-31000",
            "--nodeport-addresses=primary,10.0.0.0/8",
            "--iptables-masquerade-bit=32",
        ])
        .unwrap_err()
        .to_string();
        let flags: Vec<&str> = errors
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(flag, _)| flag)
            .collect();
        assert_eq!(
            flags,
            [
                "--node-name",
                "--cluster-cidr",
                "--service-cidr",
                "--service-cidr",
                "--service-node-port-range",
                "--nodeport-addresses",
                "--iptables-masquerade-bit",
            ],
            "{errors}"
        );
    }

    #[test]
    fn an_empty_cluster_cidr_means_no_detection() {
        let config = config(&["--cluster-cidr="]).unwrap();
        assert_eq!(config.detect_local, DetectLocal::ClusterCidr(Vec::new()));
    }

    #[test]
    fn interface_detection_needs_the_name_of_an_interface() {
        let modes = [
            ("BridgeInterface", "--pod-bridge-interface"),
            ("InterfaceNamePrefix", "--pod-interface-name-prefix"),
        ];
        for (mode, flag) in modes {
            let mode = format!("--detect-local-mode={mode}");
            let missing = config(&[&mode]).unwrap_err().to_string();
            assert!(missing.starts_with(flag), "{missing}");
            assert!(config(&[&mode, &format!("{flag}=cni0")]).is_ok());
            let long = config(&[&mode, &format!("{flag}=a-very-long-name-of-a-link")]);
            assert!(long.unwrap_err().to_string().contains("15 bytes"));
        }
    }

    #[test]
    fn localhost_node_ports_can_be_switched_off() {
        let flag = "--iptables-localhost-nodeports";
        for (text, wanted) in [("", true), ("=true", true), ("=false", false)] {
            let config = config(&[&format!("{flag}{text}")]).unwrap();
            assert_eq!(config.localhost_node_ports, wanted, "{flag}{text}");
        }
    }
}
