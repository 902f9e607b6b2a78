//! Clients outside the cluster: node ports, load balancers, policies, source ranges; and virtual
//! servers that are not ours.

use serde_json::json;

use crate::node::{saved, testbed};
use crate::support::{Service, Testbed};

const OUTSIDE_LOCAL: &str = "203.0.113.11";

fn services(bed: &Testbed) -> Vec<Service> {
    let local = |service: Service| service.field("externalTrafficPolicy", json!("Local"));
    vec![
        Service::new("port", "10.233.10.1")
            .node_port(30080)
            .to(&bed.far_pods),
        Service::new("balanced", "10.233.10.2")
            .load_balancer("203.0.113.10")
            .field("loadBalancerSourceRanges", json!(["192.168.10.1/32"]))
            .to(&bed.far_pods),
        local(Service::new("here", "10.233.10.3").load_balancer(OUTSIDE_LOCAL)).to(bed.all_pods()),
        local(Service::new("elsewhere", "10.233.10.4").load_balancer("203.0.113.12"))
            .to(&bed.far_pods),
        Service::new("inner", "10.233.10.5")
            .field("internalTrafficPolicy", json!("Local"))
            .to(&bed.far_pods),
        Service::new("hairpin", "10.233.10.6").to(&bed.pods),
        Service::new("kept-off", "10.233.10.7")
            .field("externalIPs", json!(["203.0.113.99"]))
            .to(&bed.far_pods),
    ]
}

/// One bed for all of it: under emulation making one takes longer than the rest.
#[test]
fn outside_traffic_is_masqueraded_filtered_or_dropped_and_foreign_virtual_servers_stay() {
    let Some(bed) = testbed(1, 2) else { return };
    let node = &bed.node.namespace;
    // Not ours: another port of the node, and what is excluded.
    let foreign = [
        "-A -t 192.168.10.100:30999 -s wrr",
        "-a -t 192.168.10.100:30999 -r 10.9.9.9:1 -m -w 5",
        "-A -t 203.0.113.99:80 -s lc",
    ];
    let rules = foreign.join("\n") + "\n";
    node.run_with_input("ipvsadm-restore", &[], &rules);
    let services = services(&bed);
    let flags = ["--ipvs-exclude-cidrs", "203.0.113.99/32"];
    bed.ipvs_apply(&services, &flags);

    let far = ["far-1", "far-2"];
    let port = bed.outside.dial(&bed.node.at(30080)).times(10);
    port.assert_only(&far);
    assert!(
        port.answers
            .iter()
            .all(crate::support::Answer::is_masqueraded)
    );
    let allowed = bed.outside.dial("203.0.113.10:80").from("192.168.10.1");
    allowed.times(4).assert_only(&far);
    let denied = bed.outside.dial("203.0.113.10:80").from("192.168.10.2");
    assert_eq!(denied.impatiently().times(2).timed_out, 2);
    let here = bed.outside.dial(&format!("{OUTSIDE_LOCAL}:80")).times(4);
    here.assert_only(&["pod-1"]);
    assert!(
        !here
            .answers
            .iter()
            .any(crate::support::Answer::is_masqueraded)
    );
    let elsewhere = "203.0.113.12:80";
    let dropped = bed.outside.dial(elsewhere).impatiently().times(2);
    assert_eq!(dropped.timed_out, 2, "{dropped}");
    bed.pod(1).dial(elsewhere).times(4).assert_only(&far);
    let inner = bed.pod(1).dial("10.233.10.5:80").impatiently().times(2);
    assert_eq!(inner.timed_out, 2, "{inner}");
    bed.pod(1)
        .dial("10.233.10.6:80")
        .times(3)
        .assert_only(&["pod-1"]);

    let lines = saved(node);
    for line in foreign {
        assert!(lines.contains(line), "{line} is gone: {lines:#?}");
    }
    assert!(
        lines.contains("-A -t 192.168.10.100:30080 -s rr"),
        "{lines:#?}"
    );
    bed.ipvs_apply(&services[1..], &flags);
    let lines = saved(node);
    assert!(
        !lines.iter().any(|line| line.contains(":30080")),
        "{lines:#?}"
    );
    bed.ipvs_cleanup();
    let left: Vec<_> = saved(node).into_iter().collect();
    let mut foreign = foreign.map(str::to_owned);
    foreign.sort();
    assert_eq!(left, foreign);
}
