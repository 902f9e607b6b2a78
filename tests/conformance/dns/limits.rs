//! What must not keep a server from answering.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use super::server::{Server, line, question};

/// Requests in the fuzz test of every run; `PORTOLAN_DNS_FUZZ` says how many else.
const MALFORMED: usize = 20_000;

/// How long until an answer comes. What waits in a full socket is dropped: clients ask again.
fn answers(server: &Server) -> Duration {
    let start = Instant::now();
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    let name = "svc1.testns.svc.cluster.local.";
    let question = question(name, RecordType::A, None).to_vec().unwrap();
    let address = "127.0.0.1:53".parse().unwrap();
    let answer =
        (0..20).find_map(|_| server.ask_bytes(address, &question, Duration::from_millis(500)));
    let answer = Message::from_vec(&answer.expect("an answer")).unwrap();
    assert_eq!(line(&answer), "NOERROR svc1.testns.svc A 10.0.0.11");
    start.elapsed()
}

pub(super) fn resident_kib(server: &Server) -> u64 {
    let metrics = format!("/proc/{}/status", server.id());
    let text = std::fs::read_to_string(metrics).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn malformed_requests_are_survived() {
    let count = std::env::var("PORTOLAN_DNS_FUZZ").ok();
    let count = count.map_or(MALFORMED, |text| text.parse().unwrap());
    let server = Server::new(super::CLUSTER);
    let seeds: Vec<Vec<u8>> = [
        question("svc1.testns.svc.cluster.local.", RecordType::A, Some(1232)),
        question(
            "_http._tcp.hdls1.testns.svc.cluster.local.",
            RecordType::SRV,
            Some(4096),
        ),
        question("11.0.0.10.in-addr.arpa.", RecordType::PTR, None),
        question(
            "10-240-0-1.podns.pod.cluster.local.",
            RecordType::AAAA,
            Some(512),
        ),
    ]
    .iter()
    .map(|message| message.to_vec().unwrap())
    .collect();
    server.namespace.enter(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.1:53").unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut sink = [0; 4096];
        for number in 0..count {
            let mut packet = seeds[random(seeds.len())].clone();
            for _ in 0..=random(6) {
                let place = random(packet.len());
                packet[place] = u8::try_from(random(256)).unwrap();
            }
            if random(4) == 0 {
                packet.truncate(random(packet.len() + 1));
            }
            if random(8) == 0 {
                let more = random(600);
                packet.extend((0..more).map(|n| u8::try_from(n * 31 % 256).unwrap()));
            }
            // A full socket drops, as a network would.
            let _ = socket.send(&packet);
            if number % 64 == 0 {
                while socket.recv(&mut sink).is_ok() {}
                std::thread::yield_now();
            }
        }
    });
    answers(&server);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn thousands_of_idle_connections_and_slow_clients_are_survived() {
    const CONNECTIONS: usize = 10_000;
    let (_, hard) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard);
    let server = Server::new(super::CLUSTER);
    let before = resident_kib(&server);
    let connections: Vec<TcpStream> = server.namespace.enter(|| {
        (0..CONNECTIONS)
            .map(|number| {
                // More ports than one address has are not needed, but the backlog must be emptied.
                let mut stream = TcpStream::connect("127.0.0.1:53").unwrap();
                if number % 2 == 0 {
                    // A length, and nothing after it.
                    stream.write_all(&[0, 40, 1]).unwrap();
                }
                stream
            })
            .collect()
    });
    assert!(answers(&server) < Duration::from_secs(1));
    let name = "svc1.testns.svc.cluster.local.";
    let answer = server.ask_tcp(&[question(name, RecordType::A, None)]);
    assert_eq!(answer[0].answers.len(), 1);
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(
        grown < 64 * 1024,
        "{grown} KiB for {CONNECTIONS} connections"
    );
    drop(connections);
}
