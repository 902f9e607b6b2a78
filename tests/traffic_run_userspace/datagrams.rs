//! Flows of datagrams: where they go, and when they go elsewhere.

use std::net::UdpSocket;
use std::time::Duration;

use crate::support::{Host, Protocol, Service, Testbed};

const DNS: &str = "10.233.10.20:53";

fn dns<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
    Service::new("dns", "10.233.10.20")
        .port(Protocol::Udp, 53)
        .node_port(30053)
        .to(pods)
}

/// One client socket, which is one flow.
struct Client {
    socket: UdpSocket,
}

impl Client {
    fn of(host: &Host, target: &str) -> Self {
        let socket = host.namespace.enter(|| UdpSocket::bind("0.0.0.0:0"));
        let socket = socket.unwrap();
        socket.connect(target).unwrap();
        let patience = Some(Duration::from_secs(10));
        socket.set_read_timeout(patience).unwrap();
        Self { socket }
    }

    /// Who answers.
    #[track_caller]
    fn ask(&self) -> String {
        self.socket.send(b"who?\n").unwrap();
        let mut buffer = [0; 200];
        let length = self.socket.recv(&mut buffer).expect("an answer");
        let text = String::from_utf8_lossy(&buffer[..length]);
        text.split(' ').next().unwrap().to_owned()
    }
}

#[test]
fn a_flow_stays_with_its_endpoint_and_goes_elsewhere_when_that_goes() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[dns(&bed.pods[..2])]);
    for target in [DNS, &bed.node.at(30053)] {
        let client = Client::of(bed.pod(3), target);
        let first = client.ask();
        for _ in 0..20 {
            assert_eq!(client.ask(), first);
        }
        let rest = bed.pods[..2].iter().find(|pod| pod.name != first).unwrap();
        bed.apply(&[dns([rest])]);
        assert_eq!(client.ask(), rest.name);
        bed.apply(&[dns(&bed.pods[..2])]);
    }
}

/// The answer to a datagram on its way was lost with the entry.
#[test]
fn a_change_of_endpoints_removes_no_flow_to_the_agent() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[dns(&bed.pods[..2])]);
    let client = Client::of(bed.pod(3), DNS);
    client.ask();
    let entries = || {
        let port = client.socket.local_addr().unwrap().port().to_string();
        let list = ["-L", "-p", "udp", "--orig-port-src", &port];
        bed.node.namespace.run("conntrack", &list)
    };
    assert!(entries().contains("dport=53"), "{}", entries());
    for pods in [&bed.pods[..1], &bed.pods[1..2], &bed.pods[..2]] {
        bed.apply(&[dns(pods)]);
        // A pass takes some milliseconds, and begins at once.
        std::thread::sleep(Duration::from_millis(500));
        assert!(entries().contains("dport=53"), "{}", entries());
    }
}

#[test]
fn a_flow_is_chosen_anew_after_a_pause() {
    let bed = Testbed::with_pods(3);
    bed.apply_with(&[dns(&bed.pods[..2])], &["--udp-timeout", "300ms"]);
    let client = Client::of(bed.pod(3), DNS);
    let first = client.ask();
    std::thread::sleep(Duration::from_millis(1500));
    // In turn, so it is the other's.
    assert_ne!(client.ask(), first);
}

#[test]
fn what_an_endpoint_refuses_is_sent_to_another() {
    let bed = Testbed::with_pods(4);
    let far = bed.pod(4);
    // Nothing listens there: the kernel of pod-4 sends an ICMP error.
    let closed = Service::new("dns", "10.233.10.20")
        .port(Protocol::Udp, 53)
        .to_addresses("n0", vec![far.v4.clone(), bed.pod(1).v4.clone()], 9053);
    let server =
        crate::support::server::Server::start(&bed.pod(1).namespace, "one", Protocol::Udp, 9053);
    bed.apply(&[closed]);
    for _ in 0..10 {
        assert_eq!(Client::of(bed.pod(3), DNS).ask(), "one");
    }
    drop(server);
}

#[test]
fn big_datagrams_pass_whole() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[Service::new("big", "10.233.10.21")
        .port(Protocol::Udp, 53)
        .to_addresses("n0", vec![bed.pod(1).v4.clone()], 9054)]);
    let server = bed
        .pod(1)
        .namespace
        .enter(|| UdpSocket::bind("0.0.0.0:9054"));
    let server = server.unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            server.send_to(&buffer[..length], from).unwrap();
        }
    });
    let client = Client::of(bed.pod(2), "10.233.10.21:53");
    let datagram: Vec<u8> = (0..60_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    client.socket.send(&datagram).unwrap();
    let mut buffer = vec![0; 65_536];
    let length = client.socket.recv(&mut buffer).expect("an echo");
    assert!(buffer[..length] == datagram, "{length}");
}
