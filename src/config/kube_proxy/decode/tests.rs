use super::*;

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

fn mistakes(rest: &str) -> Vec<String> {
    let (_, mistakes) = Document::parse(&format!("{HEAD}{rest}"));
    mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn all_mistakes_are_found_with_their_fields() {
    let text = "clusterCIDRs: 10.0.0.0/8\n\
                conntrack:\n  maxPerCor: 1\n  min: -1\n  udpTimeout: 5\n\
                iptables: yes please\n\
                mode: [nftables]\n\
                nodePortAddresses: 10.0.0.0/8\n\
                iptable:\n  masqueradeBit: 14\n\
                oomScoreAdj: 1.5\n\
                somethingElse: 1\n\
                nftables:\n  syncPeriod: 30\n";
    let found = mistakes(text);
    let expected = [
        "clusterCIDRs: is no field of a KubeProxyConfiguration; near it are clusterCIDR",
        "conntrack.maxPerCor: is no field of a KubeProxyConfiguration; near it are conntrack.maxPerCore",
        "conntrack.min: is -1, but should be within 0 and 2147483647",
        "conntrack.udpTimeout: is 5, but should be a duration such as \"30s\"",
        "iptable: is no field",
        "iptables: is \"yes please\", but should be an object",
        "mode: is [\"nftables\"], but should be text",
        "nftables.syncPeriod: is 30, but should be a duration",
        "nodePortAddresses: is \"10.0.0.0/8\", but should be a list of texts",
        "oomScoreAdj: is 1.5, but should be a whole number",
        "somethingElse: is no field of a KubeProxyConfiguration",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn only_this_kind_of_this_version_is_read() {
    let (_, mistakes) = Document::parse("kind: KubeletConfiguration\n");
    let fields: Vec<_> = mistakes.iter().map(|mistake| &*mistake.field).collect();
    assert_eq!(fields, ["apiVersion", "kind"]);
    for wrong in [
        "",
        "- a\n",
        "a: [",
        "a: 1\na: 2\n",
        &format!("{HEAD}---\na: 1\n"),
    ] {
        let (_, mistakes) = Document::parse(wrong);
        assert_eq!(mistakes.len(), 1, "{wrong:?}: {mistakes:?}");
        assert_eq!(mistakes[0].field, "");
    }
}

#[test]
fn what_stands_for_a_default_is_not_set() {
    let text = "mode: \"\"\nconfigSyncPeriod: 0s\noomScoreAdj: null\nnodePortAddresses: []\n\
                iptables:\n  minSyncPeriod: 0s\n  masqueradeBit: 0\n\
                conntrack:\n  tcpEstablishedTimeout: 0s\n  maxPerCore: 0\n";
    let (document, mistakes) = Document::parse(&format!("{HEAD}{text}"));
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let set: Vec<_> = document.set.keys().copied().collect();
    // These are pointers in kube-proxy: 0 is not the same as nothing.
    let expected = [
        "conntrack.maxPerCore",
        "conntrack.tcpEstablishedTimeout",
        "iptables.masqueradeBit",
    ];
    assert_eq!(set, expected);
}
