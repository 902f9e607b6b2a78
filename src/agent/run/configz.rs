//! The configuration in force, as kube-proxy's `KubeProxyConfiguration` (v1alpha1): for `/configz`
//! and `--write-config-to`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::RunOptions;
use crate::agent::health::server::Configuration;
use crate::config::{DetectLocal, Mode, NodePortSelector, ProxyConfig, kube_proxy};

pub(super) fn configuration(options: &RunOptions) -> Configuration {
    let mode = mode_name(options.config.mode);
    let value = json!({"kubeproxy.config.k8s.io": kube_proxy_configuration(options)});
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
        Mode::Userspace => "userspace",
    }
}

/// All fields: those in force over those of the file over kube-proxy's defaults.
#[must_use]
pub fn kube_proxy_configuration(options: &RunOptions) -> Value {
    let mut value = kube_proxy::defaults();
    merge(&mut value, &options.file);
    merge(&mut value, &in_force(options));
    value
}

/// Sets what another object has, object by object.
fn merge(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(value), Value::Object(over)) => {
            for (name, over) in over {
                merge(value.entry(name).or_insert(Value::Null), over);
            }
        }
        (value, over) => *value = over.clone(),
    }
}

fn in_force(options: &RunOptions) -> Value {
    let config = &options.config;
    let address = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(String::new, |address| address.to_string())
    };
    let (detect_mode, detect_local, cluster_cidr) = detection(config);
    let node = &options.node;
    let mut value = json!({
        "hostnameOverride": &*config.node_name,
        "healthzBindAddress": address(options.healthz_address),
        "metricsBindAddress": address(options.metrics_address),
        "bindAddressHardFail": options.bind_hard_fail,
        "mode": mode_name(config.mode),
        "detectLocalMode": detect_mode,
        "detectLocal": detect_local,
        "clusterCIDR": cluster_cidr,
        "nodePortAddresses": node_port_addresses(config),
        "oomScoreAdj": node.oom_score_adj,
        "conntrack": {
            "maxPerCore": node.conntrack_max_per_core,
            "min": node.conntrack_min,
            "tcpBeLiberal": node.conntrack_tcp_be_liberal,
            "tcpEstablishedTimeout": go_duration(node.conntrack_tcp_timeout_established),
            "tcpCloseWaitTimeout": go_duration(node.conntrack_tcp_timeout_close_wait),
            "udpTimeout": go_duration(node.conntrack_udp_timeout),
            "udpStreamTimeout": go_duration(node.conntrack_udp_timeout_stream),
        },
        "iptables": {"localhostNodePorts": config.localhost_node_ports},
    });
    merge(&mut value, &Value::Object(of_mode(options)));
    value
}

/// The section of the mode, and what a mode without those fields reads from iptables'.
fn of_mode(options: &RunOptions) -> Map<String, Value> {
    let config = &options.config;
    let periods = json!({
        "syncPeriod": go_duration(options.periods.sync),
        "minSyncPeriod": go_duration(options.periods.min_sync),
    });
    let mark = json!({
        "masqueradeBit": config.masquerade_bit,
        "masqueradeAll": config.masquerade_all,
    });
    let mode = mode_name(config.mode);
    let marked = if mode == "nftables" { mode } else { "iptables" };
    let mut sections = json!({});
    merge(&mut sections, &json!({mode: periods}));
    merge(&mut sections, &json!({marked: mark}));
    match sections {
        Value::Object(sections) => sections,
        _ => Map::new(),
    }
}

fn detection(config: &ProxyConfig) -> (&'static str, Value, String) {
    let names = |bridge: &str, prefix: &str| json!({"bridgeInterface": bridge, "interfaceNamePrefix": prefix});
    match &config.detect_local {
        DetectLocal::ClusterCidr(cidrs) => {
            let cidrs: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
            ("ClusterCIDR", names("", ""), cidrs.join(","))
        }
        DetectLocal::NodeCidr => ("NodeCIDR", names("", ""), String::new()),
        DetectLocal::BridgeInterface(name) => ("BridgeInterface", names(name, ""), String::new()),
        DetectLocal::InterfaceNamePrefix(prefix) => {
            ("InterfaceNamePrefix", names("", prefix), String::new())
        }
    }
}

fn node_port_addresses(config: &ProxyConfig) -> Vec<String> {
    match &config.node_port_addresses {
        NodePortSelector::Primary => vec!["primary".to_owned()],
        NodePortSelector::Cidrs(cidrs) => cidrs.iter().map(ToString::to_string).collect(),
    }
}

/// A duration as Go writes it: `1h30m0s`, `1m0s`, `1.5s`, `500ms`.
fn go_duration(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    if minutes == 0 && seconds == 0 && !duration.is_zero() {
        return format!("{}ms", duration.as_secs_f64() * 1000.0);
    }
    let fraction =
        Duration::from_secs(seconds) + Duration::from_nanos(duration.subsec_nanos().into());
    let seconds = fraction.as_secs_f64();
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let table = [
            (0, "0s"),
            (500, "500ms"),
            (1_500, "1.5s"),
            (30_000, "30s"),
            (60_000, "1m0s"),
            (3_600_000, "1h0m0s"),
            (86_400_000, "24h0m0s"),
            (3_661_500, "1h1m1.5s"),
        ];
        for (milliseconds, expected) in table {
            assert_eq!(go_duration(Duration::from_millis(milliseconds)), expected);
        }
    }
}
