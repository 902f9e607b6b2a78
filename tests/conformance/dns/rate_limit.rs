//! `--dns-rate-limit`: clients that ask too often, and those that share the server with them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use super::limits::resident_kib;
use super::server::{Server, line, question};

const PATIENCE: Duration = Duration::from_secs(40);
/// After this nothing of a rate is used any more.
const UNUSED: Duration = Duration::from_secs(2);
const NAME: &str = "svc1.testns.svc.cluster.local.";
const ANSWER: &str = "NOERROR svc1.testns.svc A 10.0.0.11";

fn server(flags: &[&str]) -> Server {
    Server::with(super::CLUSTER, &[&["--no-forward"], flags].concat())
}

/// A socket of the client at this address, to the server of its family. Only inside the namespace.
fn client(source: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::new(source, 0)).unwrap();
    let server = if source.is_ipv6() { "::1" } else { "127.0.0.1" };
    socket.connect((server, 53)).unwrap();
    socket
}

fn query() -> Vec<u8> {
    let question = question(NAME, RecordType::A, Some(1232));
    question.to_vec().unwrap()
}

/// The answer to one query that this client sends again until there is one, as resolvers do:
/// a socket that is full on a busy machine drops.
fn ask(server: &Server, source: &str) -> Message {
    let start = Instant::now();
    let bytes = server.namespace.enter(|| {
        let socket = client(source.parse().unwrap());
        let patience = Duration::from_millis(500);
        socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 4096];
        loop {
            socket.send(&query()).unwrap();
            if let Ok(length) = socket.recv(&mut buffer) {
                return buffer[..length].to_vec();
            }
            assert!(start.elapsed() < PATIENCE, "{}", server.log());
        }
    });
    Message::from_vec(&bytes).unwrap()
}

/// What a flood got.
#[derive(Debug, Default)]
struct Flood {
    sent: usize,
    whole: usize,
    truncated: usize,
    took: Duration,
}

/// Sends without waiting for anything, and reads what comes, until `stop`.
fn flood(server: &Server, source: &str, stop: &AtomicBool) -> Flood {
    let mut flood = Flood::default();
    server.namespace.enter(|| {
        let socket = client(source.parse().unwrap());
        socket.set_nonblocking(true).unwrap();
        let (query, mut buffer) = (query(), [0; 4096]);
        let start = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..32 {
                flood.sent += usize::from(socket.send(&query).is_ok());
            }
            while let Ok(length) = socket.recv(&mut buffer) {
                let reply = Message::from_vec(&buffer[..length]).unwrap();
                let truncated = reply.metadata.truncation;
                assert_eq!(truncated, reply.answers.is_empty());
                flood.truncated += usize::from(truncated);
                flood.whole += usize::from(!truncated);
            }
            // The flood is of the network, not of the processor that others need.
            std::thread::sleep(Duration::from_millis(1));
        }
        flood.took = start.elapsed();
    });
    flood
}

/// The value of a counter of queries over the rate.
fn exceeded(server: &Server, action: &str) -> usize {
    let metrics = server.metrics();
    let name = format!("coredns_rrl_requests_exceeded_total{{action=\"{action}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&*name));
    value.expect("a counter").parse().unwrap()
}

#[test]
fn a_client_that_floods_is_held_to_its_rate_and_two_others_are_unaffected() {
    const RATE: usize = 100;
    let server = server(&["--dns-rate-limit", "100"]);
    let stop = AtomicBool::new(false);
    let flood = std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&server, "127.0.0.2", &stop));
        let asking = ["127.0.0.3", "127.0.0.4"].map(|source| {
            let server = &server;
            scope.spawn(move || {
                for _ in 0..RATE / 2 {
                    assert_eq!(line(&ask(server, source)), ANSWER, "{source}");
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
        });
        let asked = asking.map(std::thread::ScopedJoinHandle::join);
        stop.store(true, Ordering::Relaxed);
        asked.into_iter().for_each(|client| client.unwrap());
        flood.join().unwrap()
    });
    // A second's worth at once, then the rate.
    let most = RATE + RATE * usize::try_from(flood.took.as_millis()).unwrap() / 1000 + 1;
    assert!((RATE..=most).contains(&flood.whole), "{most}: {flood:?}");
    assert!((1..=most).contains(&flood.truncated), "{most}: {flood:?}");
    assert!(flood.sent > 4 * most, "no flood: {flood:?}");
    assert!(exceeded(&server, "truncated") >= flood.truncated);
    assert!(exceeded(&server, "dropped") > most);
    // Once a minute, and this took less, or at most a few.
    let log = server.log();
    let lines = log.matches("queries over --dns-rate-limit").count();
    let most = 1 + usize::try_from(flood.took.as_secs() / 60).unwrap();
    assert!((1..=most).contains(&lines), "{log}");
    assert!(log.contains("client=127.0.0.2"), "{log}");
}

#[test]
fn without_a_limit_every_query_of_a_client_is_answered_whole() {
    let server = server(&[]);
    for _ in 0..300 {
        assert_eq!(line(&ask(&server, "127.0.0.2")), ANSWER);
    }
    assert_eq!(exceeded(&server, "truncated"), 0);
}

#[test]
fn a_client_over_its_rate_is_answered_over_tcp() {
    let server = server(&["--dns-rate-limit", "1"]);
    let start = Instant::now();
    loop {
        // Its one query of this second, if dig begins within that.
        ask(&server, "127.0.0.2");
        let args = ["-b", "127.0.0.2", "@127.0.0.1", NAME, "A"];
        let text = server.namespace.run("dig", &args);
        assert!(text.contains("10.0.0.11"), "{text}");
        if text.contains("Truncated, retrying in TCP mode") {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "never over the rate: {text}");
        std::thread::sleep(UNUSED);
    }
}

#[test]
fn an_ipv6_network_of_64_bits_is_one_client() {
    let server = server(&["--dns-rate-limit", "1"]);
    server.namespace.ip(&[
        "address add fd00:1::1/128 dev lo nodad".to_owned(),
        "address add fd00:1::2/128 dev lo nodad".to_owned(),
        "address add fd00:1:0:1::1/128 dev lo nodad".to_owned(),
    ]);
    let start = Instant::now();
    // Both within a second, which a busy machine may need more than one try for.
    while !{
        ask(&server, "fd00:1::1");
        ask(&server, "fd00:1::2").metadata.truncation
    } {
        assert!(start.elapsed() < PATIENCE, "never one client");
        std::thread::sleep(UNUSED);
    }
    assert_eq!(line(&ask(&server, "fd00:1:0:1::1")), ANSWER);
}

#[test]
fn a_hundred_thousand_clients_leave_it_answering_in_bounded_memory() {
    const CLIENTS: u32 = 100_000;
    let server = server(&["--dns-rate-limit", "100"]);
    // What threads and buffers need once is there before.
    for _ in 0..50 {
        ask(&server, "127.0.0.2");
    }
    let before = resident_kib(&server);
    let sent = server.namespace.enter(|| {
        let first = Ipv4Addr::new(127, 1, 0, 0).to_bits();
        let query = query();
        let sent = (first..first + CLIENTS).filter(|address| {
            let socket = client(Ipv4Addr::from_bits(*address).into());
            // What is answered after the socket is gone is refused, as by a machine that never asked.
            socket.send(&query).is_ok()
        });
        sent.count()
    });
    assert!(sent > 99_000, "{sent}");
    assert_eq!(line(&ask(&server, "127.0.0.3")), ANSWER);
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for {CLIENTS} clients");
    assert_eq!(exceeded(&server, "dropped"), 0);
}
