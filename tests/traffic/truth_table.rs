//! Who reaches which endpoints through what, and whose address the endpoints see: the whole table
//! of kube-proxy's traffic policies, row by row.

use serde_json::json;

use crate::support::{Host, Mode, Outcome, Service, Testbed};

/// Where connections come from.
#[derive(Clone, Copy, Debug)]
enum Client {
    Pod,
    Node,
    Localhost,
    Outside,
}

/// Which endpoints answer.
#[derive(Clone, Copy, Debug)]
enum Reach {
    All,
    Local,
}

use Client::{Localhost, Node, Outside, Pod};
use Reach::{All, Local};

/// One cell: from, reached endpoints, masqueraded.
type Cell = (Client, Reach, bool);

/// Every connection of a cell has to be to one of three endpoints; none of the three is missed in
/// this many tries but once in four million.
const TRIES: usize = 40;

struct Frontends {
    cluster_ip: &'static str,
    load_balancer: &'static str,
    node_port: u16,
}

const A: Frontends = Frontends {
    cluster_ip: "10.233.10.81",
    load_balancer: "203.0.113.81",
    node_port: 30081,
};
const B: Frontends = Frontends {
    cluster_ip: "10.233.10.82",
    load_balancer: "203.0.113.82",
    node_port: 30082,
};
const C: Frontends = Frontends {
    cluster_ip: "10.233.10.83",
    load_balancer: "203.0.113.83",
    node_port: 30083,
};

impl Frontends {
    fn service(&self, bed: &Testbed, name: &str) -> Service {
        Service::new(name, self.cluster_ip)
            .load_balancer(self.load_balancer)
            .node_port(self.node_port)
            .to(bed.pods[..2].iter().chain(&bed.far_pods))
    }

    fn check_internal(&self, bed: &Testbed, cells: &[Cell]) {
        check(bed, &format!("{}:80", self.cluster_ip), cells);
    }

    fn check_external(&self, bed: &Testbed, cells: &[Cell]) {
        check(bed, &bed.node.at(self.node_port), cells);
        check(bed, &format!("{}:80", self.load_balancer), cells);
    }

    /// kube-proxy's nftables mode has no node ports on loopback addresses.
    fn check_localhost(&self, bed: &Testbed) {
        let target = format!("127.0.0.1:{}", self.node_port);
        match Mode::tested() {
            Mode::Iptables => check(bed, &target, &[(Localhost, All, true)]),
            Mode::Nftables => {
                let end = bed.node.dial(&target).impatiently().once();
                assert_eq!(end, Outcome::Refused);
            }
        }
    }
}

/// Two pods of n0 and one of n1 behind each service; pod-3 is a client.
fn bed() -> Testbed {
    let bed = Testbed::with_pods_and_far_pods(3, 1);
    let services = [
        A.service(&bed, "a"),
        B.service(&bed, "b")
            .field("externalTrafficPolicy", json!("Local")),
        C.service(&bed, "c")
            .field("internalTrafficPolicy", json!("Local")),
    ];
    bed.apply(&services);
    bed
}

fn client(bed: &Testbed, from: Client) -> &Host {
    match from {
        Pod => bed.pod(3),
        Node | Localhost => &bed.node,
        Outside => &bed.outside,
    }
}

fn check(bed: &Testbed, target: &str, cells: &[Cell]) {
    for (from, reach, masqueraded) in cells {
        let tally = client(bed, *from).dial(target).times(TRIES);
        let reached = match reach {
            All => &["far-1", "pod-1", "pod-2"][..],
            Local => &["pod-1", "pod-2"],
        };
        eprintln!("{from:?} to {target}: {reach:?}, masqueraded: {masqueraded}");
        tally.assert_only(reached);
        for answer in &tally.answers {
            // Towards another node this node's own address is the masqueraded one, too.
            let same_anyway = matches!(from, Node) && answer.server.starts_with("far");
            let as_it_should = if *masqueraded {
                answer.is_masqueraded()
            } else {
                answer.is_left_alone()
            };
            assert!(
                as_it_should || same_anyway,
                "{from:?} to {target}: {answer:?}"
            );
        }
    }
}

#[test]
fn policies_cluster() {
    let bed = bed();
    A.check_internal(
        &bed,
        &[(Pod, All, false), (Node, All, true), (Outside, All, true)],
    );
    A.check_external(
        &bed,
        &[(Pod, All, true), (Node, All, true), (Outside, All, true)],
    );
    A.check_localhost(&bed);
}

#[test]
fn external_traffic_policy_local() {
    let bed = bed();
    B.check_internal(
        &bed,
        &[(Pod, All, false), (Node, All, true), (Outside, All, true)],
    );
    B.check_external(
        &bed,
        &[
            (Pod, All, false),
            (Node, All, true),
            (Outside, Local, false),
        ],
    );
    B.check_localhost(&bed);
}

#[test]
fn internal_traffic_policy_local() {
    let bed = bed();
    C.check_internal(
        &bed,
        &[
            (Pod, Local, false),
            (Node, Local, true),
            (Outside, Local, true),
        ],
    );
    C.check_external(
        &bed,
        &[(Pod, All, true), (Node, All, true), (Outside, All, true)],
    );
    C.check_localhost(&bed);
}
