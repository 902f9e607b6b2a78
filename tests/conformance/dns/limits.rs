//! What must not keep a server from answering.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use super::server::{Server, line, question};

/// Requests in the fuzz test of every run; `PORTOLAN_DNS_FUZZ` says how many else.
const MALFORMED: usize = 20_000;
/// Of them, those that are sent before the server is waited for: fewer than a socket has room for.
const TOGETHER: usize = 64;

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

/// Memory that the server has allocated and uses; pages of the program itself are not among it.
pub(super) fn resident_kib(server: &Server) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let mut lines = text.lines();
    let line = lines.find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Datagrams that the namespace's sockets had no room for.
fn dropped(server: &Server) -> usize {
    let text = server.namespace.run("cat", &["/proc/net/snmp"]);
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let mut words = || lines.next().unwrap().split_whitespace();
    let mut counters = words().zip(words());
    let counter = counters.find(|(name, _)| *name == "RcvbufErrors");
    counter.unwrap().1.parse().unwrap()
}

/// Requests with some bytes changed, cut off or added.
struct Mutations {
    seeds: Vec<Vec<u8>>,
    state: u64,
}

impl Mutations {
    fn new() -> Self {
        let seeds = [
            ("svc1.testns.svc.cluster.local.", RecordType::A, Some(1232)),
            (
                "_http._tcp.hdls1.testns.svc.cluster.local.",
                RecordType::SRV,
                Some(4096),
            ),
            ("11.0.0.10.in-addr.arpa.", RecordType::PTR, None),
            (
                "10-240-0-1.podns.pod.cluster.local.",
                RecordType::AAAA,
                Some(512),
            ),
        ];
        let seeds = seeds.map(|(name, kind, size)| question(name, kind, size).to_vec().unwrap());
        Self {
            seeds: seeds.into(),
            state: 0x9E37_79B9_7F4A_7C15,
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % below
    }

    fn next(&mut self) -> Vec<u8> {
        let seed = self.random(self.seeds.len());
        let mut packet = self.seeds[seed].clone();
        for _ in 0..=self.random(6) {
            let place = self.random(packet.len());
            packet[place] = u8::try_from(self.random(256)).unwrap();
        }
        if self.random(4) == 0 {
            packet.truncate(self.random(packet.len() + 1));
        }
        if self.random(8) == 0 {
            let more = self.random(600);
            packet.extend((0..more).map(|n| u8::try_from(n * 31 % 256).unwrap()));
        }
        packet
    }
}

/// Asks something sensible from the same socket, and waits for the answer: what was sent before,
/// which the same thread of the server takes, has been taken by then.
fn catch_up(server: &Server, socket: &UdpSocket) {
    let question = question("svc1.testns.svc.cluster.local.", RecordType::A, None);
    let bytes = question.to_vec().unwrap();
    let start = Instant::now();
    let mut buffer = [0; 4096];
    while start.elapsed() < Duration::from_secs(20) {
        socket.send(&bytes).unwrap();
        // Until nothing comes for a while: it was dropped.
        while let Ok(length) = socket.recv(&mut buffer) {
            let answer = Message::from_vec(&buffer[..length]);
            let answer = answer.expect("a reply that can be read");
            if answer.metadata.id == question.metadata.id && answer.answers.len() == 1 {
                return;
            }
        }
    }
    panic!("no answer: {}", server.log());
}

#[test]
fn malformed_requests_are_survived() {
    let count = std::env::var("PORTOLAN_DNS_FUZZ").ok();
    let count = count.map_or(MALFORMED, |text| text.parse().unwrap());
    let server = Server::new(super::CLUSTER);
    let mut mutations = Mutations::new();
    let mut send = |count: usize| {
        server.namespace.enter(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect("127.0.0.1:53").unwrap();
            let patience = Duration::from_millis(500);
            socket.set_read_timeout(Some(patience)).unwrap();
            for number in 1..=count {
                // Nothing is refused: the server's socket has room, or it is dropped there.
                socket.send(&mutations.next()).unwrap();
                if number % TOGETHER == 0 || number == count {
                    catch_up(&server, &socket);
                }
            }
        });
    };
    // What threads and buffers need once is there before.
    send(1000);
    let before = resident_kib(&server);
    send(count);
    answers(&server);
    let grown = resident_kib(&server).saturating_sub(before);
    let dropped = dropped(&server);
    println!("{count} malformed requests, {dropped} of them dropped; {grown} KiB more");
    assert!(dropped * 100 < count, "{dropped} of {count} never arrived");
    assert!(grown < 24 * 1024, "{grown} KiB for {count} requests");
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
