use clap::CommandFactory;

use super::*;

/// kube-proxy 1.36's flags with a value that each takes (`kube-proxy --help`).
const FLAGS: &[&str] = &[
    "--bind-address=::",
    "--bind-address-hard-fail=true",
    "--boot-id-file=/proc/sys/kernel/random/boot_id",
    "--cleanup=false",
    "--cluster-cidr=10.0.0.0/8",
    "--config=/var/lib/kube-proxy/config.conf",
    "--config-sync-period=15m0s",
    "--conntrack-max-per-core=32768",
    "--conntrack-min=131072",
    "--conntrack-tcp-be-liberal=true",
    "--conntrack-tcp-timeout-close-wait=1h0m0s",
    "--conntrack-tcp-timeout-established=24h0m0s",
    "--conntrack-udp-timeout=0s",
    "--conntrack-udp-timeout-stream=0s",
    "--detect-local-mode=NodeCIDR",
    "--feature-gates=AllAlpha=true",
    "--healthz-bind-address=0.0.0.0:10256",
    "--healthz-port=10256",
    "--hostname-override=node-1",
    "--init-only=true",
    "--iptables-localhost-nodeports=false",
    "--iptables-masquerade-bit=14",
    "--iptables-min-sync-period=1s",
    "--iptables-sync-period=30s",
    "--ipvs-min-sync-period=1s",
    "--ipvs-sync-period=30s",
    "--kube-api-burst=10",
    "--kube-api-content-type=application/json",
    "--kube-api-qps=5",
    "--log-flush-frequency=5s",
    "--log-json-info-buffer-size=0",
    "--log-json-split-stream=true",
    "--log-text-info-buffer-size=0",
    "--log-text-split-stream=true",
    "--logging-format=json",
    "--machine-id-file=/etc/machine-id",
    "--masquerade-all=true",
    "--metrics-bind-address=127.0.0.1:10249",
    "--metrics-port=10249",
    "--nodeport-addresses=primary",
    "--oom-score-adj=-999",
    "--pod-bridge-interface=cni0",
    "--pod-interface-name-prefix=veth",
    "--profiling=true",
    "--proxy-mode=iptables",
    "--show-hidden-metrics-for-version=1.35",
    "--v=2",
    "--vmodule=proxier=4",
    "--write-config-to=/tmp/config",
];

fn matches(args: &[&str]) -> Result<clap::ArgMatches, clap::Error> {
    let args = ["portolan", "run", "-f", "manifests"].iter().chain(args);
    let args = args.map(OsString::from).collect();
    let command = Cli::command();
    let args = line::normalised(args, &command);
    command.try_get_matches_from(args)
}

#[test]
fn every_flag_of_kube_proxy_is_taken() {
    for flag in FLAGS {
        let outcome = matches(&[flag]);
        assert!(outcome.is_ok(), "{flag}: {}", outcome.unwrap_err());
    }
}

#[test]
fn an_unknown_flag_is_an_error_that_names_one_like_it() {
    let error = matches(&["--cluster-cidrs=10.0.0.0/8"]).unwrap_err();
    assert!(error.to_string().contains("'--cluster-cidr'"), "{error}");
}

fn expanded(config: &str, given: &[&str]) -> (Vec<String>, File) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.conf");
    std::fs::write(&path, config).unwrap();
    let matches = matches(given).unwrap();
    let (_, run) = matches.subcommand().unwrap();
    let (args, file) = expand::expanded(&path, run, matches.get_count("verbose"));
    let args = args.into_iter().map(|arg| arg.into_string().unwrap());
    (args.collect(), file)
}

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

#[test]
fn a_file_overrules_kube_proxys_flags_but_for_those_that_it_cannot_hold() {
    let config = format!("{HEAD}clusterCIDR: 10.1.0.0/16\nhostnameOverride: of-the-file\n");
    let given = [
        "--cluster-cidr=10.2.0.0/16",
        "--masquerade-all",
        "--hostname-override=of-the-flag",
        "--service-cidr=10.96.0.0/12",
    ];
    let (args, file) = expanded(&config, &given);
    let expected = [
        "portolan",
        "run",
        "--filename=manifests",
        "--node-name=of-the-flag",
        "--service-cidr=10.96.0.0/12",
        "--mode=iptables",
        "--cluster-cidr=10.1.0.0/16",
        "--take-over",
    ];
    let mut sorted = args.clone();
    sorted.sort();
    let mut expected: Vec<_> = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(sorted, expected, "{args:?}");
    assert_eq!(file.notes.len(), 2, "{:?}", file.notes);
}

#[test]
fn what_a_flag_refuses_is_told_of_the_field() {
    let config = format!("{HEAD}mode: userspaces\ndetectLocalMode: Bridge\nclusterCIDR: x\n");
    let (args, file) = expanded(&config, &[]);
    assert_eq!(file.mistakes.len(), 2, "{:?}", file.mistakes);
    assert!(file.mistakes[0].contains(": mode: is \"userspaces\", but should be one of nftables"));
    assert!(file.mistakes[1].contains(": detectLocalMode: is \"Bridge\""));
    assert!(args.contains(&"--cluster-cidr=x".to_owned()));
    let worded = file.word("--cluster-cidr: \"x\" is not a CIDR");
    assert!(
        worded.ends_with("config.conf: clusterCIDR: \"x\" is not a CIDR"),
        "{worded}"
    );
    assert_eq!(file.word("--dns-listen: no"), "--dns-listen: no");
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let matches = matches(&[]).unwrap();
    let (_, run) = matches.subcommand().unwrap();
    let (_, file) = expand::expanded(std::path::Path::new("/no/such/file"), run, 0);
    assert!(file.mistakes[0].starts_with("/no/such/file: cannot be read: "));
}
