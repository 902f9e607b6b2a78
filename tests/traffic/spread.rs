//! Every endpoint gets the same share, however many there are.
//!
//! Many endpoints are many addresses of one host: [`Crowd`].

use serde_json::json;

use crate::support::server::Server;
use crate::support::{Answer, Service, Testbed};

/// Connections for each endpoint, on average.
const SHARE: usize = 30;

/// The node that a crowd is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// n0, in pod-1.
    Here,
    /// n1, in far-1.
    There,
}

/// Some thousand pod addresses of one host, whose server says which of them was called.
pub(crate) struct Crowd {
    side: Side,
    _server: Server,
}

impl Crowd {
    /// The port that it serves on.
    const PORT: u16 = 8090;

    pub(crate) fn new(bed: &Testbed, side: Side) -> Self {
        let (host, net) = match side {
            Side::Here => (bed.pod(1), "10.233.96.0/19"),
            Side::There => (bed.far_pod(1), "10.233.80.0/20"),
        };
        let gateway = match side {
            Side::Here => &bed.node,
            Side::There => {
                let way = format!("route add {net} via {}", bed.other_node.v4);
                bed.node.namespace.ip(&[way]);
                &bed.other_node
            }
        };
        let route = |line| [format!("route add {line}")];
        gateway
            .namespace
            .ip(&route(format!("{net} via {}", host.v4)));
        host.namespace.ip(&route(format!("local {net} dev lo")));
        Self {
            side,
            _server: Server::start_for_every_address(&host.namespace, Self::PORT),
        }
    }

    /// The first so many addresses: at most 4097.
    pub(crate) fn addresses(&self, count: u16) -> Vec<String> {
        let first = if self.side == Side::Here { 96 } else { 80 };
        let address = |number: u16| {
            let [high, low] = number.to_be_bytes();
            format!("10.233.{}.{low}", first + high)
        };
        (1..=count).map(address).collect()
    }

    /// Endpoints for a service.
    pub(crate) fn behind(&self, service: Service, count: u16) -> Service {
        let node = if self.side == Side::Here { "n0" } else { "n1" };
        service.to_addresses(node, self.addresses(count), Self::PORT)
    }

    /// As servers call themselves, sorted.
    fn names(&self, count: u16) -> Vec<String> {
        let mut names = self.addresses(count);
        names.sort();
        names
    }
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[track_caller]
fn assert_even(bed: &Testbed, target: &str, names: &[String]) {
    let tries = (names.len() * SHARE).max(100);
    let tally = bed.pod(2).dial(target).times(tries);
    tally.assert_even_over(&refs(names));
}

#[test]
fn at_every_number_of_endpoints_the_spread_is_even() {
    const COUNTS: [u16; 9] = [1, 2, 3, 5, 16, 17, 64, 65, 100];
    let bed = Testbed::with_pods(2);
    let crowd = Crowd::new(&bed, Side::Here);
    let services = COUNTS.map(|count| {
        let service = Service::new(&format!("n-{count}"), &format!("10.233.12.{count}"));
        crowd.behind(service, count)
    });
    bed.apply(&services);
    for count in COUNTS {
        assert_even(&bed, &format!("10.233.12.{count}:80"), &crowd.names(count));
    }
}

#[test]
fn after_every_change_of_their_number_the_spread_is_even() {
    let bed = Testbed::with_pods(2);
    let crowd = Crowd::new(&bed, Side::Here);
    for count in [3, 4, 5, 16, 17, 16, 33, 32, 65, 64, 7, 1] {
        bed.apply(&[crowd.behind(Service::new("web", "10.233.12.1"), count)]);
        assert_even(&bed, "10.233.12.1:80", &crowd.names(count));
    }
}

#[test]
fn endpoints_that_go_from_the_middle_leave_an_even_spread() {
    let bed = Testbed::with_pods(2);
    let crowd = Crowd::new(&bed, Side::Here);
    let all = crowd.addresses(20);
    // Which of the 20 are there.
    let rounds: [&dyn Fn(usize) -> bool; 4] =
        [&|_| true, &|n| n % 3 != 0, &|n| n % 2 == 0, &|n| n > 2];
    for there in rounds {
        let chosen = all.iter().enumerate().filter(|(n, _)| there(*n));
        let mut chosen: Vec<_> = chosen.map(|(_, address)| address.clone()).collect();
        let service = Service::new("web", "10.233.12.1");
        bed.apply(&[service.to_addresses("n0", chosen.clone(), Crowd::PORT)]);
        chosen.sort();
        assert_even(&bed, "10.233.12.1:80", &chosen);
    }
}

#[test]
fn long_lists_of_both_policies_are_even() {
    let bed = Testbed::with_pods_and_far_pods(2, 1);
    let (here, there) = (Crowd::new(&bed, Side::Here), Crowd::new(&bed, Side::There));
    let service = Service::new("web", "10.233.10.97")
        .load_balancer("203.0.113.97")
        .node_port(30097)
        .field("externalTrafficPolicy", json!("Local"));
    bed.apply(&[there.behind(here.behind(service, 18), 15)]);
    let local = here.names(18);
    let mut all = [here.names(18), there.names(15)].concat();
    all.sort();
    let node_port = bed.node.at(30097);
    for target in ["203.0.113.97:80", &node_port] {
        let tally = bed.outside.dial(target).times(18 * SHARE);
        tally.assert_even_over(&refs(&local));
        assert!(tally.answers.iter().all(Answer::is_left_alone));
        let tally = bed.pod(2).dial(target).times(33 * SHARE);
        tally.assert_even_over(&refs(&all));
    }
    assert_even(&bed, "10.233.10.97:80", &all);
}
