//! Addresses of the pool, given by the holder of its Lease: no two Services ever have one.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Kind, Wire, eventually};
use crate::bed::Bed;
use crate::objects::waiting;

const POOL_LEASE: &str = "portolan-lb.portolan.pool.addresses";
/// Of these the first is another Service's from the beginning.
const TWO: &str = "192.168.10.240-192.168.10.241,fd00:10::240";
const THREE: &str = "192.168.10.240-192.168.10.242,fd00:10::240";

fn server(bed: &Bed) -> &ApiServer {
    bed.server.as_ref().unwrap()
}

fn given(server: &ApiServer, name: &str) -> Option<String> {
    let service = server.object(Kind::Service, "default", name);
    let ingress = &service["status"]["loadBalancer"]["ingress"];
    ingress[0]["ip"].as_str().map(str::to_owned)
}

fn giver(bed: &Bed) -> Option<usize> {
    let lease = server(bed).lease(POOL_LEASE);
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    holder.strip_prefix('n')?.parse().ok()
}

fn with_status(mut service: Value, ip: &str) -> Value {
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}});
    service
}

/// For some time, that there is nothing to wait for.
fn never_twice(bed: &Bed, names: &[&str], how_long: Duration) {
    let start = Instant::now();
    while start.elapsed() < how_long {
        let mut all: Vec<String> = names.iter().filter_map(|n| given(server(bed), n)).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(
            all.len(),
            count,
            "an address was given twice\n{}",
            bed.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Two Services wait; the write for the first hangs, then the node's wire is cut.
#[test]
fn what_a_former_holder_had_not_written_yet_is_not_written_after_its_lease() {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.pool = THREE.to_owned();
    bed.start_all();
    eventually("somebody is to give", || giver(&bed).is_some());
    let first = giver(&bed).unwrap();
    server(&bed).rules(|rules| rules.hold_status = 1);
    server(&bed).put_all(&[waiting("a", "10.233.10.20"), waiting("b", "10.233.10.21")]);
    let writes = |seen: &str| seen.contains("/services/a/status");
    eventually("the first is being written", || {
        server(&bed).seen().requests.iter().any(|seen| writes(seen))
    });
    bed.wire(first, Wire::Frozen);
    eventually("another gives", || {
        giver(&bed) != Some(first) && ["a", "b"].iter().all(|n| given(server(&bed), n).is_some())
    });
    server(&bed).rules(|rules| rules.hold_status = 0);
    // What the second has goes to a third, and the second is there again, without one.
    let address = given(server(&bed), "b");
    server(&bed).delete(Kind::Service, "default", "b");
    server(&bed).put(&waiting("c", "10.233.10.22"));
    eventually("another has it", || given(server(&bed), "c") == address);
    server(&bed).put(&waiting("b", "10.233.10.21"));
    bed.wire(first, Wire::Pass);
    never_twice(&bed, &["a", "b", "c"], Duration::from_secs(6));
    assert_eq!(given(server(&bed), "b"), None);
    bed.check();
}

/// Others take a Lease that is released at once, so that a write on its way would be one of nobody.
#[test]
fn a_holder_that_ends_lets_go_of_the_pool_only_when_no_write_is_under_way() {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.pool = TWO.to_owned();
    bed.start_all();
    eventually("somebody is to give", || giver(&bed).is_some());
    let first = giver(&bed).unwrap();
    server(&bed).rules(|rules| rules.hold_status = 1);
    server(&bed).put(&waiting("a", "10.233.10.20"));
    let writes = |seen: &String| seen.contains("/services/a/status");
    eventually("it is being written", || {
        server(&bed).seen().requests.iter().any(writes)
    });
    bed.stop(first, Signal::SIGTERM);
    assert_eq!(giver(&bed), Some(first), "{}", bed.log());
    server(&bed).rules(|rules| rules.hold_status = 0);
    eventually("another is to give", || {
        giver(&bed).is_some_and(|node| node != first)
    });
    eventually("it has one", || given(server(&bed), "a").is_some());
    // With nothing under way it is let go of.
    let second = giver(&bed).unwrap();
    bed.stop(second, Signal::SIGTERM);
    assert_ne!(giver(&bed), Some(second), "{}", bed.log());
}

/// Who takes the Lease has not heard yet what its last holder wrote.
#[test]
fn a_new_holder_knows_what_the_last_one_gave_however_late_it_hears_of_it() {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.pool = TWO.to_owned();
    let lease = |seconds: u32| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {
                "name": POOL_LEASE, "namespace": "kube-system",
                "labels": {"app.kubernetes.io/managed-by": "portolan"},
            },
            "spec": {"holderIdentity": "gone", "leaseDurationSeconds": seconds},
        })
    };
    server(&bed).put_lease(&lease(3600));
    server(&bed).put_all(&[waiting("a", "10.233.10.20"), waiting("b", "10.233.10.21")]);
    bed.start_all();
    server(&bed).rules(|rules| rules.quiet = [Kind::Service].into());
    let last = "192.168.10.241";
    server(&bed).put(&with_status(waiting("b", "10.233.10.21"), last));
    server(&bed).put_lease(&lease(1));
    eventually("another is to give", || giver(&bed).is_some());
    never_twice(&bed, &["a", "b"], Duration::from_secs(4));
    server(&bed).rules(|rules| rules.quiet.clear());
    assert_eq!(given(server(&bed), "a"), None);
    server(&bed).delete(Kind::Service, "default", "b");
    eventually("its turn comes", || {
        given(server(&bed), "a").as_deref() == Some(last)
    });
    bed.check();
}

#[test]
fn a_service_without_an_address_gets_one_in_its_status_and_its_neighbour_another() {
    let mut bed = Bed::in_cluster("Cluster", true);
    server(&bed).put(&waiting("early", "10.233.10.20"));
    bed.pool = THREE.to_owned();
    bed.start_all();
    let given = |name| given(server(&bed), name);
    let free = ["192.168.10.241", "192.168.10.242"];
    eventually("the one that waited has one", || given("early").is_some());
    let early = server(&bed).object(Kind::Service, "default", "early");
    assert_eq!(
        early["status"]["loadBalancer"]["ingress"][0]["ipMode"],
        "VIP"
    );
    assert_eq!(early["metadata"]["managedFields"][0]["manager"], "portolan");
    server(&bed).put(&waiting("late", "10.233.10.21"));
    eventually("the later one, too", || given("late").is_some());
    let mut both = ["early", "late"].map(|name| given(name).unwrap());
    both.sort_unstable();
    assert_eq!(both, free, "web has the first of the pool in its status");
    // The pool is used up: this one waits, and gets what another gives back.
    server(&bed).put(&waiting("third", "10.233.10.22"));
    eventually("it is said", || {
        bed.log().contains("no address of --lb-pool is left")
    });
    assert_eq!(given("third"), None);
    let back = given("early");
    server(&bed).delete(Kind::Service, "default", "early");
    eventually("its turn comes", || given("third") == back);
}

#[test]
fn a_pool_without_the_family_of_a_service_is_not_called_used_up() {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.pool = "192.168.10.240-192.168.10.242".to_owned();
    server(&bed).put(&waiting("six", "fd00:10:233::20"));
    bed.start_all();
    let says = |text: &str| bed.log().contains(text);
    eventually("it is said", || {
        says("--lb-pool has no range of their IP family")
    });
    assert!(!says("no address of --lb-pool is left"), "{}", bed.log());
}

#[test]
fn an_address_of_an_earlier_pool_is_told_of_and_replaced_once_it_is_cleared() {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.pool = TWO.to_owned();
    let of = |manager: &str, name: &str, cluster_ip: &str| {
        let mut service = with_status(waiting(name, cluster_ip), "192.168.99.1");
        service["metadata"]["managedFields"] = json!([{
            "manager": manager, "operation": "Update", "subresource": "status",
        }]);
        service
    };
    server(&bed).put(&of("portolan", "ours", "10.233.10.20"));
    server(&bed).put(&of("other", "theirs", "10.233.10.21"));
    bed.start_all();
    let told = "has an address that portolan gave and that is not in --lb-pool any more";
    eventually("it is told", || bed.log().contains(told));
    assert_eq!(given(server(&bed), "ours").as_deref(), Some("192.168.99.1"));
    server(&bed).put(&waiting("ours", "10.233.10.20"));
    eventually("it has another", || {
        given(server(&bed), "ours").as_deref() == Some("192.168.10.241")
    });
    let log = bed.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(told)).collect();
    assert!(
        lines.iter().all(|line| line.contains("default/ours")),
        "{lines:?}"
    );
}
