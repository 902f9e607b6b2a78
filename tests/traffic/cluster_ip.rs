//! A Service's cluster IP, from inside the cluster.

use crate::support::{Service, Testbed};

#[test]
fn a_pod_reaches_every_endpoint_evenly() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[Service::new("web", "10.233.10.10").to(&bed.pods[..3])]);
    let tally = bed.pod(4).dial("10.233.10.10:80").times(300);
    tally.assert_even_over(&["pod-1", "pod-2", "pod-3"]);
}
