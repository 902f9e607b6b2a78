//! A real HAProxy in front of three nodes, configured by `portolan haproxy`. Root is needed.
//!
//! ```text
//!  balancer 192.168.10.1 ── n1 .100 ── pod-1, pod-2
//!        │  (also the     ├ n2 .150
//!      client)            └ n3 .200 ── pod-3
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

#[path = "haproxy/network.rs"]
mod network;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use network::{Network, Policy};

const VIP: &str = "192.168.10.1:80";

#[test]
fn connections_go_through_every_node_to_every_pod() {
    let network = Network::new(Policy::Cluster);
    network.haproxy(&[]).exits(0);
    let _haproxy = network.start();
    let tally = network.balancer.dial(VIP).times(300);
    tally.assert_only(&["pod-1", "pod-2", "pod-3"]);
    let page = network.balancer.curl("192.168.10.1");
    assert!(page.starts_with("pod-"), "{page}");
    // As many connections by each node, as the balancer counts them: in turn.
    let text = fs::read_to_string(network.file()).unwrap();
    for node in ["192.168.10.100", "192.168.10.150", "192.168.10.200"] {
        let line = format!(" {node}:32000 check\n");
        assert!(text.contains(&line), "{text}");
    }
    assert!(text.contains("balance roundrobin"), "{text}");
}

const INTERVAL: Duration = Duration::from_secs(1);

/// n2 has no pods: what is lost with it is one way to them.
#[test]
fn a_node_that_falls_silent_costs_at_most_one_check_interval_of_errors() {
    a_node_fails(Network::fall_silent);
}

#[test]
fn a_node_whose_cable_is_pulled_costs_at_most_one_check_interval_of_errors() {
    a_node_fails(Network::fail);
}

#[test]
fn a_node_that_refuses_costs_at_most_one_check_interval_of_errors() {
    a_node_fails(Network::refuse);
}

/// Four clients connect all the while. What counts is when a connection that came to nothing was
/// begun: one that was open already when the node failed is nobody's to save.
fn a_node_fails(fail: impl Fn(&Network, &str)) {
    let network = &Network::new(Policy::Cluster);
    network.haproxy(&[]).exits(0);
    let haproxy = network.start();
    network.balancer.dial(VIP).times(30).assert_all_answered();
    let done = &AtomicBool::new(false);
    let (mut errors, answers) = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| scope.spawn(move || ask_until(network, done)))
            .collect();
        thread::sleep(Duration::from_millis(300));
        fail(network, "n2");
        haproxy.eventually("n2 is out", |log| log.contains("n2 is DOWN"));
        thread::sleep(2 * INTERVAL);
        done.store(true, Ordering::Relaxed);
        let (mut errors, mut answers) = (Vec::new(), 0);
        for client in clients {
            let (failed, answered) = client.join().unwrap();
            errors.extend(failed);
            answers += answered;
        }
        (errors, answers)
    });
    errors.sort();
    if let (Some(first), Some(last)) = (errors.first(), errors.last()) {
        let span = *last - *first;
        println!("{} errors in {span:?}", errors.len());
        assert!(span <= INTERVAL, "{} errors in {span:?}", errors.len());
    }
    assert!(answers > 40, "{answers} answers");
    let log = haproxy.log();
    for node in ["n1", "n3"] {
        assert!(!log.contains(&format!("{node} is DOWN")), "{log}");
    }
}

/// Connects again and again; gives when those began that came to nothing, and how many were answered.
fn ask_until(network: &Network, done: &AtomicBool) -> (Vec<Instant>, usize) {
    let (mut errors, mut answers) = (Vec::new(), 0);
    // Ends by itself, too: the other thread may have failed.
    let end = Instant::now() + Duration::from_secs(90);
    while !done.load(Ordering::Relaxed) && Instant::now() < end {
        let begun = Instant::now();
        if network.balancer.dial(VIP).times(1).answers.is_empty() {
            errors.push(begun);
        } else {
            answers += 1;
        }
    }
    (errors, answers)
}

#[test]
fn policy_local_is_sent_to_nodes_with_endpoints_alone() {
    let network = Network::new(Policy::Local);
    network.haproxy(&["--check-interval", "200ms"]).exits(0);
    let haproxy = network.start();
    haproxy.eventually("n2 is out", |log| log.contains("n2 is DOWN"));
    let tally = network.balancer.dial(VIP).times(60);
    tally.assert_only(&["pod-1", "pod-2", "pod-3"]);
    // The nodes leave the balancer's address alone.
    assert!(
        tally
            .answers
            .iter()
            .all(|answer| answer.seen.ip().to_string() == "192.168.10.1"),
        "{tally}"
    );
    let log = haproxy.log();
    assert!(
        !log.contains("n1 is DOWN") && !log.contains("n3 is DOWN"),
        "{log}"
    );
}

#[test]
fn a_reload_loses_neither_open_connections_nor_new_ones() {
    let network = &Network::new(Policy::Cluster);
    network.haproxy(&[]).exits(0);
    let haproxy = network.start();
    let mut talk = network.balancer.dial(VIP).converse();
    let server = talk.say("before").unwrap();
    let done = &AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let finished = || done.load(Ordering::Relaxed);
                scope.spawn(move || network_dial(&network.balancer, finished))
            })
            .collect();
        for interval in ["900ms", "800ms", "700ms"] {
            thread::sleep(Duration::from_millis(300));
            let run = network.haproxy(&["--reload", "--check-interval", interval]);
            let run = run.exits(0);
            assert!(run.stdout.contains("haproxy reloaded"), "{}", run.stdout);
            assert_eq!(talk.say(interval).unwrap(), server);
        }
        thread::sleep(Duration::from_millis(300));
        done.store(true, Ordering::Relaxed);
        for client in clients {
            let tally = client.join().unwrap();
            tally.assert_all_answered();
            assert!(tally.answers.len() > 20, "{tally}");
        }
    });
    let log = haproxy.log();
    assert_eq!(log.matches("Loading success").count(), 4, "{log}");
    assert_eq!(talk.say("after").unwrap(), server);
}

fn network_dial(from: &support::Host, finished: impl Fn() -> bool + Sync) -> support::Tally {
    from.dial(VIP).until(finished)
}

#[test]
fn what_is_unchanged_is_not_reloaded() {
    let network = Network::new(Policy::Cluster);
    network.haproxy(&[]).exits(0);
    // Nothing runs that could be reloaded.
    let run = network.haproxy(&["--reload"]).exits(0);
    assert!(run.stdout.contains("unchanged"), "{}", run.stdout);
    let run = network
        .haproxy(&["--reload", "--check-interval", "2s"])
        .exits(1);
    assert!(run.stderr.contains("is haproxy running"), "{}", run.stderr);
    // A process that is no HAProxy is not signalled: it would end.
    let mut other = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    fs::write(network.pid_file(), other.id().to_string()).unwrap();
    let run = network
        .haproxy(&["--reload", "--check-interval", "3s"])
        .exits(1);
    assert!(run.stderr.contains("no haproxy master"), "{}", run.stderr);
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_configuration_that_haproxy_refuses_is_not_put_in_place() {
    let network = Network::new(Policy::Cluster);
    network.haproxy(&[]).exits(0);
    let before = fs::read_to_string(network.file()).unwrap();
    // Two servers of one name.
    let twice = [
        "--node=a=192.0.2.1",
        "--node=b=192.0.2.2",
        "--haproxy=false",
        "--reload",
    ];
    let run = network.haproxy(&twice).exits(1);
    assert!(
        run.stderr.contains("refuses the configuration"),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read_to_string(network.file()).unwrap(), before);
    let left = fs::read_dir(network.file().parent().unwrap()).unwrap();
    let hidden = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".haproxy")
    });
    assert_eq!(hidden.count(), 0);
}

/// Requests are balanced one by one, and nodes' pods learn the client's address from a header.
#[test]
fn http_requests_carry_the_clients_address() {
    let network = Network::new(Policy::Cluster);
    network
        .haproxy(&["--http", "--node=only=192.168.10.1"])
        .exits(0);
    let text = fs::read_to_string(network.file()).unwrap();
    assert!(
        text.contains("mode http\n    option httplog\n    option forwardfor"),
        "{text}"
    );
    let listener = network
        .balancer
        .namespace
        .enter(|| TcpListener::bind("192.168.10.1:32000"))
        .unwrap();
    let server = thread::spawn(move || {
        loop {
            let (connection, _) = listener.accept().unwrap();
            let request = serve(&connection);
            if request.contains("forwarded") {
                return request;
            }
        }
    });
    let _haproxy = network.start();
    network.balancer.curl("192.168.10.1");
    let request = server.join().unwrap().to_lowercase();
    assert!(
        request.contains("x-forwarded-for: 192.168.10.1"),
        "{request}"
    );
}

/// Answers one request and gives its headers.
fn serve(mut connection: &TcpStream) -> String {
    let mut request = String::new();
    for line in BufReader::new(connection).lines() {
        match line {
            Ok(line) if !line.is_empty() => request.push_str(&(line + "\n")),
            _ => break,
        }
    }
    let _ = connection.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    request.replace("x-forwarded", "X-forwarded")
}
