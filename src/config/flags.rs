//! The flags that say what rules look like. Names and defaults are kube-proxy's where it has one,
//! the API server's (`--service-cidr`, `--service-node-port-range`) otherwise.

use clap::{Args, ValueEnum};

use super::ipvs::IpvsFlags;

/// `--mode`: the back end that rules are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One nftables table of constant size; Services are elements of its sets and maps.
    Nftables,
    /// kube-proxy's iptables rules, as nf_tables objects that iptables-nft shows and edits.
    Iptables,
    /// IPVS virtual servers on the dummy device kube-ipvs0, with a small nftables table beside them.
    Ipvs,
    /// The agent itself takes connections and makes others to endpoints; `run` only.
    Userspace,
}

/// `--detect-local-mode`: how traffic from pods of this cluster is told from other traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DetectLocalMode {
    /// Source inside `--cluster-cidr`.
    #[value(name = "ClusterCIDR")]
    ClusterCidr,
    /// Source inside the Node's `spec.podCIDRs`.
    #[value(name = "NodeCIDR")]
    NodeCidr,
    /// Arriving on the bridge named by `--pod-bridge-interface`.
    #[value(name = "BridgeInterface")]
    BridgeInterface,
    /// Arriving on an interface whose name starts with `--pod-interface-name-prefix`.
    #[value(name = "InterfaceNamePrefix")]
    InterfaceNamePrefix,
}

/// Flags shared by every verb that makes rules. Validated into a
/// [`ProxyConfig`](super::ProxyConfig).
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Rules")]
pub struct ProxyFlags {
    /// Back end to make rules for
    #[arg(
        long,
        visible_alias = "proxy-mode",
        value_enum,
        default_value = "nftables"
    )]
    pub mode: Mode,

    /// Name of this node: decides which endpoints are local [default: the host name]
    #[arg(long, visible_alias = "hostname-override", value_name = "NAME")]
    pub node_name: Option<String>,

    /// Pod addresses of the cluster, one CIDR a family; "" for none
    #[arg(long, value_name = "CIDR[,CIDR]", default_value = "10.233.64.0/18")]
    pub cluster_cidr: String,

    /// Ranges cluster IPs are allocated from, primary family first
    #[arg(long, value_name = "CIDR[,CIDR]", default_value = "10.233.0.0/18")]
    pub service_cidr: String,

    /// Range node ports are allocated from
    #[arg(long, value_name = "FROM-TO", default_value = "30000-32767")]
    pub service_node_port_range: String,

    /// Local addresses that accept node-port traffic: CIDRs, or "primary" [default: all]
    #[arg(
        long,
        value_name = "CIDR,…",
        default_value = "",
        hide_default_value = true
    )]
    pub nodeport_addresses: String,

    /// How traffic from pods is recognised
    #[arg(long, value_enum, default_value = "ClusterCIDR")]
    pub detect_local_mode: DetectLocalMode,

    /// Bridge that pods are on, for --detect-local-mode=BridgeInterface
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub pod_bridge_interface: String,

    /// Start of pod interface names, for --detect-local-mode=InterfaceNamePrefix
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub pod_interface_name_prefix: String,

    /// Masquerade all traffic to cluster IPs
    #[arg(long)]
    pub masquerade_all: bool,

    /// Bit of the packet mark that asks for masquerading, 0 to 31
    #[arg(long, value_name = "BIT", default_value_t = 14)]
    pub iptables_masquerade_bit: u8,

    /// Let node ports answer on 127.0.0.1 (IPv4; sets route_localnet)
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub iptables_localhost_nodeports: bool,

    #[command(flatten)]
    #[allow(
        missing_docs,
        reason = "a doc comment would become the help of all flags"
    )]
    pub ipvs: IpvsFlags,
}

impl ProxyFlags {
    /// The defaults, for a node of this name.
    #[must_use]
    pub fn on_node(name: &str) -> Self {
        #[derive(clap::Parser)]
        struct Defaults {
            #[command(flatten)]
            flags: ProxyFlags,
        }
        let Defaults { flags } = clap::Parser::parse_from([""]);
        Self {
            node_name: Some(name.to_owned()),
            ..flags
        }
    }
}
