//! Connections: whose turn, who refuses, how the two halves end, how much passes.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::{Host, Outcome, Service, Testbed};

const VIP: &str = "10.233.10.10:80";
/// Where the servers of these tests listen: the pods' own have the usual port.
pub(crate) const PORT: u16 = 9000;

fn web<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
    Service::new("web", "10.233.10.10")
        .node_port(30010)
        .to(pods)
}

pub(crate) fn connect(client: &Host, target: &str) -> TcpStream {
    let target: SocketAddr = target.parse().unwrap();
    let stream = client.namespace.enter(|| TcpStream::connect(target));
    let stream = stream.expect("a connection");
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    stream
}

pub(crate) fn listen(host: &Host) -> TcpListener {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
    host.namespace.enter(|| TcpListener::bind(any)).unwrap()
}

/// A service to one endpoint, `pod-1` at [`PORT`].
pub(crate) fn special(bed: &Testbed) -> Service {
    let pod = bed.pod(1).v4.clone();
    Service::new("special", "10.233.10.11").to_addresses("n0", vec![pod], PORT)
}

pub(crate) const SPECIAL: &str = "10.233.10.11:80";

#[test]
fn endpoints_take_turns_exactly_whichever_way_clients_come() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[web(&bed.pods[..3])]);
    let mut servers = Vec::new();
    for _ in 0..5 {
        servers.push(bed.pod(4).dial(VIP).answer().server);
        servers.push(bed.outside.dial(&bed.node.at(30010)).answer().server);
        servers.push(bed.node.dial(VIP).answer().server);
    }
    let turn: Vec<_> = servers.iter().take(3).cloned().collect();
    let expected: Vec<_> = turn.iter().cycle().take(15).cloned().collect();
    assert_eq!(servers, expected);
}

#[test]
fn an_endpoint_that_refuses_is_passed_over() {
    let bed = Testbed::with_pods(3);
    // pod-2 says nothing at that port; far away is nobody at all.
    let service = Service::new("web", "10.233.10.10").to_addresses(
        "n0",
        vec![bed.pod(1).v4.clone(), bed.pod(2).v4.clone()],
        PORT,
    );
    let listener = listen(bed.pod(1));
    thread::spawn(move || {
        for connection in listener.incoming() {
            let _ = connection.unwrap().write_all(b"one\n");
        }
    });
    bed.apply(&[service]);
    for _ in 0..10 {
        let mut text = String::new();
        connect(bed.pod(3), VIP).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\n");
    }
}

/// Three seconds later, that is; the next client's turn is the other's anyway.
#[test]
fn an_endpoint_that_says_nothing_is_passed_over() {
    let bed = Testbed::with_pods(3);
    let silent = &bed.pod(2).namespace;
    silent.run("nft", &["add", "table", "inet", "silence"]);
    let chain = "{ type filter hook input priority 0; }";
    silent.run("nft", &["add", "chain", "inet", "silence", "input", chain]);
    let drop = ["tcp", "dport", "8080", "drop"];
    silent.run(
        "nft",
        &[&["add", "rule", "inet", "silence", "input"], &drop[..]].concat(),
    );
    bed.apply(&[web(&bed.pods[..2])]);
    let mut waited = 0;
    for _ in 0..4 {
        let begun = std::time::Instant::now();
        assert_eq!(bed.pod(3).dial(VIP).answer().server, "pod-1");
        waited += usize::from(begun.elapsed() > Duration::from_secs(2));
    }
    assert!(waited >= 1, "pod-2 was never tried");
}

#[test]
fn a_client_is_reset_where_every_endpoint_refuses() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[special(&bed)]);
    let mut stream = connect(bed.pod(2), SPECIAL);
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn one_half_may_end_before_the_other() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[special(&bed)]);
    let listener = listen(bed.pod(1));
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut text = String::new();
        // Returns when the client's half has ended.
        connection.read_to_string(&mut text).unwrap();
        connection
            .write_all(text.to_uppercase().as_bytes())
            .unwrap();
    });
    let mut stream = connect(bed.pod(2), SPECIAL);
    stream.write_all(b"shout").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "SHOUT");
    server.join().unwrap();
}

#[test]
fn an_endpoints_reset_is_the_clients() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[special(&bed)]);
    let listener = listen(bed.pod(1));
    let mut stream = connect(bed.pod(2), SPECIAL);
    let (connection, _) = listener.accept().unwrap();
    let connection = socket2::Socket::from(connection);
    connection.set_linger(Some(Duration::ZERO)).unwrap();
    drop(connection);
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Beyond the first quarter of a megabyte bytes are spliced, both ways at once here.
#[test]
fn many_bytes_arrive_as_they_were_sent() {
    const SIZE: usize = 24 << 20;
    let bed = Testbed::with_pods(2);
    bed.apply(&[special(&bed)]);
    let listener = listen(bed.pod(1));
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut writer = connection.try_clone().unwrap();
        let sender = thread::spawn(move || {
            writer.write_all(&pattern(7, SIZE)).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).unwrap();
        sender.join().unwrap();
        bytes
    });
    let mut stream = connect(bed.pod(2), SPECIAL);
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        writer.write_all(&pattern(11, SIZE)).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert!(bytes == pattern(7, SIZE), "{} bytes", bytes.len());
    sender.join().unwrap();
    let bytes = server.join().unwrap();
    assert!(bytes == pattern(11, SIZE), "{} bytes", bytes.len());
}

/// Bytes of which no part looks like another one nearby.
pub(crate) fn pattern(seed: u32, size: usize) -> Vec<u8> {
    let mut state = seed;
    let next = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    next.take(size).collect()
}

/// What the kernel holds between two endpoints and a reader who does not read is bounded: the agent
/// adds no buffer that grows.
#[test]
fn a_reader_who_stops_stops_the_writer() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[special(&bed)]);
    let listener = listen(bed.pod(1));
    let mut stream = connect(bed.pod(2), SPECIAL);
    let (_silent, _) = listener.accept().unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let block = vec![1; 1 << 20];
    let mut written = 0;
    let error = loop {
        match stream.write(&block) {
            Ok(bytes) => written += bytes,
            Err(error) => break error,
        }
        assert!(written < 200 << 20, "no end of writing");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{written}");
}

#[test]
fn who_comes_past_the_rules_is_reset() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[web(&bed.pods)]);
    let list = ["list", "map", "ip", "portolan", "endpoints"];
    let map = bed.node.namespace.run("nft", &list);
    let own = format!(": {} . ", bed.node.v4);
    let at = map.find(&own).unwrap_or_else(|| panic!("{map}")) + own.len();
    let port: String = map[at..].chars().take_while(char::is_ascii_digit).collect();
    let target = format!("{}:{port}", bed.node.v4);
    let outcome = bed.outside.dial(&target).impatiently().once();
    assert!(
        matches!(&outcome, Outcome::Failed(text) if text.contains("reset")),
        "{outcome:?}"
    );
}

/// More than a process may have open by default: 1024.
#[test]
fn connections_are_limited_by_the_system_alone() {
    const COUNT: usize = 1500;
    let bed = Testbed::with_pods(2);
    bed.apply(&[web(&bed.pods[..1])]);
    let (soft, hard) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("limits");
    if soft < hard {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard)
            .expect("this process needs as many");
    }
    let mut talks: Vec<_> = (0..COUNT).map(|_| connect(bed.pod(2), VIP)).collect();
    for talk in &mut talks {
        talk.write_all(b"there?\n").unwrap();
    }
    for talk in &mut talks {
        let mut reply = [0; 13];
        talk.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"pod-1 there?\n");
    }
}
