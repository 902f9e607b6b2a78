use super::*;

const VIP: &str = "10.96.0.10:53";
const ALIVE: &str = "10.0.0.1:53";
const DEAD: &str = "10.0.0.2:53";

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn flow(protocol: Protocol, to: &str, from: &str) -> Flow {
    Flow {
        protocol,
        source: socket("10.0.0.9:4000"),
        destination: socket(to),
        replies_from: socket(from),
        replied: false,
        id: 1,
    }
}

fn stale(protocol: Protocol, front_end: &str, endpoints: &[&str]) -> Stale {
    let mut stale = Stale::default();
    let endpoints = endpoints.iter().map(|e| socket(e)).collect();
    stale.keep_only(FrontEnd::Address(protocol, socket(front_end)), endpoints);
    stale
}

#[test]
fn what_leads_to_no_endpoint_goes_and_what_does_stays() {
    for protocol in [Protocol::Udp, Protocol::Sctp] {
        let stale = stale(protocol, VIP, &[ALIVE]);
        assert!(stale.is_stale(&flow(protocol, VIP, DEAD)));
        assert!(!stale.is_stale(&flow(protocol, VIP, ALIVE)));
        assert!(stale.is_stale(&flow(protocol, VIP, VIP)), "before the rule");
        assert!(!stale.is_stale(&flow(protocol, "10.96.0.11:53", DEAD)));
        assert!(!stale.is_stale(&flow(protocol, "10.96.0.10:54", DEAD)));
    }
}

#[test]
fn what_leads_to_a_node_that_stands_in_for_endpoints_stays() {
    let here = "192.168.10.100:41234";
    let mut known = stale(Protocol::Udp, VIP, &[ALIVE]);
    known.local = [socket(here).ip()].into();
    assert!(known.is_stale(&flow(Protocol::Udp, VIP, here)));
    known.stands_in = true;
    assert!(!known.is_stale(&flow(Protocol::Udp, VIP, here)));
    assert!(known.is_stale(&flow(Protocol::Udp, VIP, DEAD)));
    assert!(
        known.is_stale(&flow(Protocol::Udp, VIP, VIP)),
        "before the rule"
    );
    let mut nobody = stale(Protocol::Udp, VIP, &[]);
    (nobody.local, nobody.stands_in) = (known.local, true);
    assert!(nobody.is_stale(&flow(Protocol::Udp, VIP, here)));
}

#[test]
fn a_front_end_without_endpoints_loses_what_was_translated_only() {
    let stale = stale(Protocol::Udp, VIP, &[]);
    assert!(stale.is_stale(&flow(Protocol::Udp, VIP, DEAD)));
    assert!(!stale.is_stale(&flow(Protocol::Udp, VIP, VIP)));
}

#[test]
fn of_tcp_only_what_was_never_answered_by_a_dead_endpoint_goes() {
    let stale = stale(Protocol::Tcp, VIP, &[ALIVE]);
    let knocking = flow(Protocol::Tcp, VIP, DEAD);
    assert!(stale.is_stale(&knocking));
    let speaking = Flow {
        replied: true,
        ..knocking
    };
    assert!(!stale.is_stale(&speaking));
    assert!(!stale.is_stale(&flow(Protocol::Tcp, VIP, ALIVE)));
    assert!(!stale.is_stale(&flow(Protocol::Tcp, VIP, VIP)));
}

#[test]
fn a_node_port_is_a_port_of_local_addresses() {
    let mut stale = Stale::default();
    let front_end = FrontEnd::NodePort(Protocol::Udp, IpFamily::V4, 30053);
    stale.keep_only(front_end, vec![socket(ALIVE)]);
    stale.local.insert("192.168.0.1".parse().unwrap());
    assert!(stale.is_stale(&flow(Protocol::Udp, "192.168.0.1:30053", DEAD)));
    let elsewhere = "192.168.0.2:30053";
    assert!(!stale.is_stale(&flow(Protocol::Udp, elsewhere, elsewhere)));
}

#[test]
fn strays_are_translated_flows_to_addresses_that_only_services_have() {
    let mut stale = stale(Protocol::Udp, VIP, &[ALIVE]);
    stale.strays = Some(Strays {
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        node_ports: 30000..=32767,
        protocols: vec![Protocol::Udp],
    });
    stale.local.insert("192.168.0.1".parse().unwrap());
    let is_stale = |to, from| stale.is_stale(&flow(Protocol::Udp, to, from));
    assert!(is_stale("10.96.7.7:53", DEAD));
    assert!(is_stale("192.168.0.1:30000", DEAD));
    assert!(
        !is_stale("192.168.0.1:53", DEAD),
        "a port of a container runtime"
    );
    assert!(!is_stale("10.97.0.1:53", DEAD));
    assert!(!is_stale("10.96.7.7:53", "10.96.7.7:53"));
    assert!(!is_stale(VIP, ALIVE));
}

#[test]
fn what_is_about_to_lead_somewhere_is_spared() {
    let mut stale = stale(Protocol::Udp, VIP, &[ALIVE]);
    let known = FrontEnd::Address(Protocol::Udp, socket(VIP));
    let unknown = FrontEnd::Address(Protocol::Udp, socket("10.96.0.99:53"));
    let soon = [known, unknown].map(|front_end| (front_end, vec![socket(DEAD)]));
    stale.spare(&Forwarding::from(soon));
    assert!(!stale.is_stale(&flow(Protocol::Udp, VIP, DEAD)));
    assert!(!stale.is_stale(&flow(Protocol::Udp, VIP, ALIVE)));
    assert_eq!(stale.front_ends.len(), 1, "{stale:?}");
}

#[test]
fn few_front_ends_are_asked_for_one_by_one_if_the_kernel_filters() {
    let one = stale(Protocol::Tcp, VIP, &[ALIVE]);
    for filters in [None, Some(true)] {
        let selections = one.selections(filters);
        assert_eq!(selections.len(), 1);
        assert!(selections[0].unreplied && selections[0].destination.is_some());
    }
    assert_eq!(one.selections(Some(false))[0].destination, None);
    let mut many = Stale::default();
    for port in 1..=9 {
        let vip = SocketAddr::new("10.96.0.10".parse().unwrap(), port);
        many.keep_only(FrontEnd::Address(Protocol::Udp, vip), Vec::new());
    }
    assert_eq!(many.selections(Some(true)).len(), 1);
}
