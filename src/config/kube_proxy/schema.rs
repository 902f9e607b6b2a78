//! The fields that the file may have (`staging/src/k8s.io/kube-proxy/config/v1alpha1/types.go` and
//! component-base's logging block, release 1.36).

use serde_json::{Map, Value, json};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    /// A whole number within these bounds.
    Number(i64, i64),
    /// Text as Go writes durations. One of 0 stands for the default.
    Duration,
    /// The same, but 0 means 0.
    DurationOrZero,
    Texts,
    /// Whatever is in it: it is taken and not looked at.
    Anything,
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    /// Where it is: `iptables.masqueradeBit`.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// What is done with it.
    pub(super) meaning: Meaning,
    /// kube-proxy's default as JSON; empty for `null`.
    default: &'static str,
}

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It says what this flag says.
    Flag(&'static str),
    /// It is the flag's value in this mode.
    InMode(&'static str, &'static str),
    /// It is not needed, for this reason.
    NotNeeded(&'static str),
}

use Kind::{Anything, Bool, Duration, DurationOrZero, Number, Text, Texts};
use Meaning::{Flag, InMode, NotNeeded};

const I32: Kind = Number(i32::MIN as i64, i32::MAX as i64);
const COUNT: Kind = Number(0, i32::MAX as i64);
const BIT: Kind = Number(0, 31);
const PROTOBUF: Meaning = NotNeeded("requests are as small as the API allows");
const WATCHES: Meaning = NotNeeded("watches need no budget of requests");
const WINDOWS: Meaning = NotNeeded("it is for Windows");
const LOG_BUFFER: Meaning = NotNeeded("log lines are not buffered");

const fn field(path: &'static str, kind: Kind, default: &'static str, meaning: Meaning) -> Field {
    Field {
        path,
        kind,
        meaning,
        default,
    }
}

/// All fields, `apiVersion` and `kind` apart.
pub(super) const FIELDS: &[Field] = &[
    field("bindAddress", Text, "\"0.0.0.0\"", Flag("--bind-address")),
    field(
        "bindAddressHardFail",
        Bool,
        "false",
        Flag("--bind-address-hard-fail"),
    ),
    field(
        "clientConnection.acceptContentTypes",
        Text,
        "\"\"",
        PROTOBUF,
    ),
    field("clientConnection.burst", COUNT, "10", WATCHES),
    field(
        "clientConnection.contentType",
        Text,
        "\"application/vnd.kubernetes.protobuf\"",
        PROTOBUF,
    ),
    field(
        "clientConnection.kubeconfig",
        Text,
        "\"\"",
        Flag("--kubeconfig"),
    ),
    field("clientConnection.qps", Anything, "5", WATCHES),
    field("clusterCIDR", Text, "\"\"", Flag("--cluster-cidr")),
    field(
        "configSyncPeriod",
        Duration,
        "\"15m0s\"",
        NotNeeded("objects are compared as they come"),
    ),
    field(
        "conntrack.maxPerCore",
        COUNT,
        "32768",
        Flag("--conntrack-max-per-core"),
    ),
    field("conntrack.min", COUNT, "131072", Flag("--conntrack-min")),
    field(
        "conntrack.tcpBeLiberal",
        Bool,
        "false",
        Flag("--conntrack-tcp-be-liberal"),
    ),
    field(
        "conntrack.tcpCloseWaitTimeout",
        DurationOrZero,
        "\"1h0m0s\"",
        Flag("--conntrack-tcp-timeout-close-wait"),
    ),
    field(
        "conntrack.tcpEstablishedTimeout",
        DurationOrZero,
        "\"24h0m0s\"",
        Flag("--conntrack-tcp-timeout-established"),
    ),
    field(
        "conntrack.udpStreamTimeout",
        DurationOrZero,
        "\"0s\"",
        Flag("--conntrack-udp-timeout-stream"),
    ),
    field(
        "conntrack.udpTimeout",
        DurationOrZero,
        "\"0s\"",
        Flag("--conntrack-udp-timeout"),
    ),
    field(
        "detectLocal.bridgeInterface",
        Text,
        "\"\"",
        Flag("--pod-bridge-interface"),
    ),
    field(
        "detectLocal.interfaceNamePrefix",
        Text,
        "\"\"",
        Flag("--pod-interface-name-prefix"),
    ),
    field(
        "detectLocalMode",
        Text,
        "\"ClusterCIDR\"",
        Flag("--detect-local-mode"),
    ),
    field(
        "enableProfiling",
        Bool,
        "false",
        NotNeeded("there is no profiler to serve"),
    ),
    field(
        "featureGates",
        Anything,
        "{}",
        NotNeeded("what they switch is always as released"),
    ),
    field(
        "healthzBindAddress",
        Text,
        "\"0.0.0.0:10256\"",
        Flag("--healthz-bind-address"),
    ),
    field("hostnameOverride", Text, "\"\"", Flag("--node-name")),
    field(
        "iptables.localhostNodePorts",
        Bool,
        "true",
        Flag("--iptables-localhost-nodeports"),
    ),
    field(
        "iptables.masqueradeAll",
        Bool,
        "false",
        InMode("iptables", "--masquerade-all"),
    ),
    field(
        "iptables.masqueradeBit",
        BIT,
        "14",
        InMode("iptables", "--iptables-masquerade-bit"),
    ),
    field(
        "iptables.minSyncPeriod",
        Duration,
        "\"1s\"",
        InMode("iptables", "--min-sync-period"),
    ),
    field(
        "iptables.syncPeriod",
        Duration,
        "\"30s\"",
        InMode("iptables", "--sync-period"),
    ),
    field(
        "ipvs.excludeCIDRs",
        Texts,
        "[]",
        InMode("ipvs", "--ipvs-exclude-cidrs"),
    ),
    field(
        "ipvs.minSyncPeriod",
        Duration,
        "\"0s\"",
        InMode("ipvs", "--min-sync-period"),
    ),
    field(
        "ipvs.scheduler",
        Text,
        "\"\"",
        InMode("ipvs", "--ipvs-scheduler"),
    ),
    field(
        "ipvs.strictARP",
        Bool,
        "false",
        InMode("ipvs", "--ipvs-strict-arp"),
    ),
    field(
        "ipvs.syncPeriod",
        Duration,
        "\"30s\"",
        InMode("ipvs", "--sync-period"),
    ),
    field(
        "ipvs.tcpFinTimeout",
        DurationOrZero,
        "\"0s\"",
        InMode("ipvs", "--ipvs-tcpfin-timeout"),
    ),
    field(
        "ipvs.tcpTimeout",
        DurationOrZero,
        "\"0s\"",
        InMode("ipvs", "--ipvs-tcp-timeout"),
    ),
    field(
        "ipvs.udpTimeout",
        DurationOrZero,
        "\"0s\"",
        InMode("ipvs", "--ipvs-udp-timeout"),
    ),
    field("logging.flushFrequency", Anything, "\"5s\"", LOG_BUFFER),
    field("logging.format", Text, "\"text\"", Flag("--log-format")),
    field("logging.options", Anything, "{}", LOG_BUFFER),
    field(
        "logging.verbosity",
        Number(0, i32::MAX as i64),
        "0",
        Flag("--v"),
    ),
    field(
        "logging.vmodule",
        Anything,
        "[]",
        NotNeeded("RUST_LOG sets levels by module"),
    ),
    field(
        "metricsBindAddress",
        Text,
        "\"127.0.0.1:10249\"",
        Flag("--metrics-bind-address"),
    ),
    field("mode", Text, "\"iptables\"", Flag("--mode")),
    field(
        "nftables.masqueradeAll",
        Bool,
        "false",
        InMode("nftables", "--masquerade-all"),
    ),
    field(
        "nftables.masqueradeBit",
        BIT,
        "14",
        InMode("nftables", "--iptables-masquerade-bit"),
    ),
    field(
        "nftables.minSyncPeriod",
        Duration,
        "\"1s\"",
        InMode("nftables", "--min-sync-period"),
    ),
    field(
        "nftables.syncPeriod",
        Duration,
        "\"30s\"",
        InMode("nftables", "--sync-period"),
    ),
    field(
        "nodePortAddresses",
        Texts,
        "[]",
        Flag("--nodeport-addresses"),
    ),
    field("oomScoreAdj", I32, "-999", Flag("--oom-score-adj")),
    field(
        "portRange",
        Text,
        "\"\"",
        NotNeeded("no mode of kube-proxy's has read it since 1.26"),
    ),
    field(
        "showHiddenMetricsForVersion",
        Text,
        "\"\"",
        NotNeeded("no metric is hidden"),
    ),
    field("windowsRunAsService", Bool, "false", WINDOWS),
    field("winkernel", Anything, "{}", WINDOWS),
];

/// The field at a path.
pub(super) fn find(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.path == path)
}

/// A configuration with kube-proxy's defaults, as a nested object.
#[must_use]
pub fn defaults() -> Value {
    let mut value = json!({
        "apiVersion": super::decode::API_VERSION,
        "kind": super::decode::KIND,
    });
    for field in FIELDS {
        let default = serde_json::from_str(field.default).unwrap_or_default();
        put(&mut value, field.path, default);
    }
    value
}

/// Sets a field of a nested object.
pub(super) fn put(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for part in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else { return };
        at = map.entry(part).or_insert(Value::Null);
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_order_and_their_defaults_are_values() {
        assert!(FIELDS.is_sorted_by_key(|field| field.path));
        for field in FIELDS {
            let default = serde_json::from_str::<Value>(field.default);
            assert!(default.is_ok(), "{}: {}", field.path, field.default);
        }
        let defaults = defaults();
        assert_eq!(defaults["conntrack"]["maxPerCore"], 32768);
        assert_eq!(defaults["clientConnection"]["qps"], 5);
    }
}
