//! `/configz`: the configuration in force, under the key and with the field names of kube-proxy's
//! `KubeProxyConfiguration` (v1alpha1), as far as they have a meaning here.

use std::time::Duration;

use serde_json::{Value, json};

use super::RunOptions;
use crate::agent::health::server::Configuration;
use crate::config::{DetectLocal, Mode, NodePortSelector, ProxyConfig};

pub(super) fn configuration(options: &RunOptions) -> Configuration {
    let mode = mode_name(options.config.mode);
    let value = json!({"kubeproxy.config.k8s.io": value(options)});
    Configuration {
        mode: mode.to_owned(),
        configz: value.to_string(),
    }
}

/// kube-proxy's word for the mode.
pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Nftables => "nftables",
        Mode::Iptables => "iptables",
        Mode::Ipvs => "ipvs",
    }
}

fn value(options: &RunOptions) -> Value {
    let config = &options.config;
    let address = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(String::new, |address| address.to_string())
    };
    let (detect_mode, detect_local, cluster_cidr) = detection(config);
    let of_mode = json!({
        "masqueradeBit": config.masquerade_bit,
        "masqueradeAll": config.masquerade_all,
        "localhostNodePorts": config.localhost_node_ports,
        "syncPeriod": go_duration(options.periods.sync),
        "minSyncPeriod": go_duration(options.periods.min_sync),
    });
    let mode = mode_name(config.mode);
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "hostnameOverride": &*config.node_name,
        "healthzBindAddress": address(options.healthz_address),
        "metricsBindAddress": address(options.metrics_address),
        "bindAddressHardFail": options.bind_hard_fail,
        "mode": mode,
        mode: of_mode,
        "detectLocalMode": detect_mode,
        "detectLocal": detect_local,
        "clusterCIDR": cluster_cidr,
        "nodePortAddresses": node_port_addresses(config),
    })
}

fn detection(config: &ProxyConfig) -> (&'static str, Value, String) {
    match &config.detect_local {
        DetectLocal::ClusterCidr(cidrs) => {
            let cidrs: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
            ("ClusterCIDR", json!({}), cidrs.join(","))
        }
        DetectLocal::NodeCidr => ("NodeCIDR", json!({}), String::new()),
        DetectLocal::BridgeInterface(name) => (
            "BridgeInterface",
            json!({"bridgeInterface": &**name}),
            String::new(),
        ),
        DetectLocal::InterfaceNamePrefix(prefix) => (
            "InterfaceNamePrefix",
            json!({"interfaceNamePrefix": &**prefix}),
            String::new(),
        ),
    }
}

fn node_port_addresses(config: &ProxyConfig) -> Vec<String> {
    match &config.node_port_addresses {
        NodePortSelector::Primary => vec!["primary".to_owned()],
        NodePortSelector::Cidrs(cidrs) => cidrs.iter().map(ToString::to_string).collect(),
    }
}

/// A duration as Go writes it: `30s`, `1.5s`.
fn go_duration(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}
