use super::*;
use crate::agent::run::programmer::Size;

fn metrics() -> Metrics {
    Metrics::new(Mode::Iptables, &IpFamily::ALL).unwrap()
}

/// The value of a sample, labels included in its name as the text has them.
fn sample(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.strip_prefix(' ')?.parse().ok()
}

#[test]
fn kube_proxys_names_and_types_come_out_as_kube_proxy_has_them() {
    let text = metrics().text().unwrap();
    let table = [
        ("sync_proxy_rules_duration_seconds", "histogram"),
        ("sync_full_proxy_rules_duration_seconds", "histogram"),
        ("sync_partial_proxy_rules_duration_seconds", "histogram"),
        ("sync_proxy_rules_last_timestamp_seconds", "gauge"),
        ("sync_proxy_rules_last_queued_timestamp_seconds", "gauge"),
        ("network_programming_duration_seconds", "histogram"),
        ("sync_proxy_rules_endpoint_changes_pending", "gauge"),
        ("sync_proxy_rules_endpoint_changes_total", "counter"),
        ("sync_proxy_rules_service_changes_pending", "gauge"),
        ("sync_proxy_rules_service_changes_total", "counter"),
        ("sync_proxy_rules_no_local_endpoints_total", "gauge"),
        ("proxy_healthz_total", "counter"),
        ("proxy_livez_total", "counter"),
        (
            "sync_proxy_rules_iptables_restore_failures_total",
            "counter",
        ),
        (
            "sync_proxy_rules_iptables_partial_restore_failures_total",
            "counter",
        ),
        ("conntrack_reconciler_sync_duration_seconds", "histogram"),
        ("conntrack_reconciler_deleted_entries_total", "counter"),
        ("sync_proxy_rules_iptables_total", "gauge"),
        ("sync_proxy_rules_iptables_last", "gauge"),
    ];
    for (name, kind) in table {
        let line = format!("# TYPE kubeproxy_{name} {kind}\n");
        assert!(text.contains(&line), "no {line} in\n{text}");
    }
}

#[test]
fn buckets_are_kube_proxys() {
    let text = metrics().text().unwrap();
    let bounds = |name: &str| -> Vec<String> {
        let start = format!("kubeproxy_{name}_bucket{{ip_family=\"IPv4\",le=\"");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&start));
        lines
            .filter_map(|rest| rest.split('"').next().map(str::to_owned))
            .collect()
    };
    let sync = bounds("sync_proxy_rules_duration_seconds");
    assert_eq!(sync.len(), 16, "{sync:?}");
    assert_eq!((sync[0].as_str(), sync[14].as_str()), ("0.001", "16.384"));
    let network = bounds("network_programming_duration_seconds");
    assert_eq!(network.len(), 81, "80 and +Inf: {network:?}");
    for bound in ["0.25", "0.5", "1", "59", "60", "115", "120", "300", "+Inf"] {
        assert!(network.iter().any(|b| b == bound), "{bound}");
    }
}

#[test]
fn a_sync_is_counted_for_every_family() {
    let metrics = metrics();
    metrics.changed(2, 3);
    metrics.queued(Pending {
        services: 2,
        endpoints: 3,
    });
    let waiting = metrics.text().unwrap();
    let pending = "kubeproxy_sync_proxy_rules_service_changes_pending";
    assert_eq!(sample(&waiting, pending), Some(2.0));

    let done = Programmed {
        transactions: 1,
        messages: 12,
        bytes: 3400,
        commit_time: Duration::from_millis(3),
        full: true,
        sizes: vec![Size {
            family: IpFamily::V4,
            part: "nat",
            count: 40,
        }],
    };
    metrics.programmed(&done, Duration::from_millis(5));
    metrics.failed(false, Duration::from_millis(5));
    let text = metrics.text().unwrap();
    let table = [
        (pending, 0.0),
        ("kubeproxy_sync_proxy_rules_service_changes_total", 2.0),
        ("kubeproxy_sync_proxy_rules_endpoint_changes_total", 3.0),
        (
            "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv6\"}",
            2.0,
        ),
        (
            "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}",
            1.0,
        ),
        (
            "kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}",
            1.0,
        ),
        (
            "kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family=\"IPv4\"}",
            1.0,
        ),
        (
            "kubeproxy_sync_proxy_rules_iptables_total{ip_family=\"IPv4\",table=\"nat\"}",
            40.0,
        ),
        ("portolan_commit_seconds_count", 1.0),
        ("portolan_commit_messages_total", 12.0),
        ("portolan_commit_bytes_total", 3400.0),
        ("portolan_elements{ip_family=\"IPv4\",part=\"nat\"}", 40.0),
    ];
    for (name, value) in table {
        assert_eq!(sample(&text, name), Some(value), "{name} in\n{text}");
    }
}

#[test]
fn the_process_is_measured_when_it_is_asked_for() {
    let text = metrics().text().unwrap();
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(
            sample(&text, name).is_some_and(|value| value > 0.0),
            "{name}\n{text}"
        );
    }
    let started = sample(&text, "process_start_time_seconds").unwrap();
    let age = unix_seconds() - started;
    assert!((-1.0..3600.0).contains(&age), "{age} s old");
}
