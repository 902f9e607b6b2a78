//! What connections cost the agent, and what it does when there are more than the system allows.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{Agent, Directory};
use crate::forwarding::{SPECIAL, connect, listen, pattern, special};
use crate::support::{Service, Testbed, patience};

const VIP: &str = "10.233.10.10:80";

fn directory(service: Service) -> Directory {
    let directory = Directory::new();
    directory.write("web.yaml", &[service]);
    directory
}

/// Pipes of a process, which are two files each.
fn pipes(agent: &Agent) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", agent.pid())).expect("a process that lives");
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("pipe:"))
        .count()
}

/// User and system time that a process has taken.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process that lives");
    // After the name, which may have blanks: the 14th and 15th field of the whole.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    // USER_HZ is 100 on every architecture that portolan runs on.
    Duration::from_millis(ticks * 10)
}

/// Back-pressure for many at once: the bytes wait in the kernel, in buffers of a fixed size, and
/// nothing is lost when the reader goes on.
#[test]
fn readers_who_stop_cost_the_agent_no_memory() {
    const CONNECTIONS: usize = 40;
    const SIZE: usize = 16 << 20;
    let bed = &Testbed::with_pods(2);
    let directory = directory(special(bed));
    let agent = Agent::start(bed, &directory, &[]);
    let listener = listen(bed.pod(1));
    let block = &pattern(5, SIZE);
    // The first connection warms up what the agent keeps for all.
    let open = || {
        let mut client = connect(bed.pod(2), SPECIAL);
        let (reader, _) = listener.accept().expect("a connection");
        client.set_nonblocking(true).expect("a socket");
        (fill(&mut client, block), client, reader)
    };
    let mut stopped = vec![open()];
    let before = agent.anonymous_memory();
    stopped.extend((1..CONNECTIONS).map(|_| open()));
    let grown = agent.anonymous_memory().saturating_sub(before);
    assert!(
        grown < 16 << 20,
        "{grown} bytes for {CONNECTIONS} connections"
    );
    // More than the agent's own share has gone out, and the writer is held all the same.
    let (sent, mut client, mut reader) = stopped.pop().expect("connections");
    assert!(sent > SHARE && sent < SIZE, "{sent}");
    client.set_nonblocking(false).expect("a socket");
    thread::scope(|scope| {
        scope.spawn(move || {
            client.write_all(&block[sent..]).expect("the rest is taken");
        });
        reader.set_read_timeout(Some(patience())).expect("a socket");
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("all of it");
        assert!(bytes == *block, "{} bytes", bytes.len());
    });
}

/// What the agent holds of a connection itself, at the most.
const SHARE: usize = 256 << 10;

/// Writes until nothing has been taken for a while; gives the bytes that were. An agent that waits
/// for its turn on a busy machine takes nothing for a while, too, but not for long.
fn fill(client: &mut TcpStream, block: &[u8]) -> usize {
    let (mut sent, mut taken) = (0, Instant::now());
    let enough = |sent| match sent > SHARE {
        true => Duration::from_millis(150),
        false => patience(),
    };
    while taken.elapsed() < enough(sent) {
        match client.write(&block[sent..]) {
            Ok(0) => break,
            Ok(bytes) => {
                sent += bytes;
                taken = Instant::now();
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
    sent
}

#[test]
fn a_long_transfer_is_spliced_and_a_short_one_is_not() {
    let bed = &Testbed::with_pods(2);
    let directory = directory(special(bed));
    let mut agent = Agent::start(bed, &directory, &[]);
    let listener = listen(bed.pod(1));
    let mut client = connect(bed.pod(2), SPECIAL);
    let (mut server, _) = listener.accept().expect("a connection");
    let mut pass = |bytes: usize| {
        let sent = pattern(3, bytes);
        thread::scope(|scope| {
            scope.spawn(|| client.write_all(&sent).expect("bytes are taken"));
            let mut received = vec![0; bytes];
            server.read_exact(&mut received).expect("bytes");
            assert!(received == sent, "other bytes");
        });
    };
    let none = pipes(&agent);
    pass(100 << 10);
    assert_eq!(pipes(&agent), none, "for 100 KiB");
    pass(4 << 20);
    assert_eq!(pipes(&agent), none + 2, "for 4 MiB, one way");
    drop(client);
    drop(server);
    agent.eventually("the pipe is closed", |agent| pipes(agent) == none);
}

/// An agent that may not raise its limit, and more clients than it may have files for.
#[test]
fn without_files_the_agent_waits_for_some_and_takes_no_time() {
    const FILES: usize = 150;
    const CLIENTS: usize = 200;
    let bed = &Testbed::with_pods(2);
    let web = Service::new("web", "10.233.10.10").to(&bed.pods[..1]);
    let directory = directory(web);
    let agent = limited(bed, &directory, FILES);
    let mut agent = agent.loaded();
    // The kernel accepts them all; the agent cannot.
    let clients: Vec<_> = (0..CLIENTS).map(|_| connect(bed.pod(2), VIP)).collect();
    agent.eventually("it says so", |agent| {
        agent
            .log()
            .contains("cannot accept a connection: Too many open files")
    });
    let before = cpu(agent.pid());
    thread::sleep(Duration::from_secs(3));
    let taken = cpu(agent.pid()) - before;
    assert!(taken < Duration::from_millis(600), "{taken:?} in 3 s");
    // The rest is for those who debug.
    let log = agent.log();
    let said = log.lines().filter(|line| line.contains(" WARN ")).count();
    assert!(said < 10, "{said} times:\n{}", agent.log());
    drop(clients);
    agent.eventually("it forwards again", |_| {
        let outcome = bed.pod(2).dial(VIP).impatiently().once();
        matches!(outcome, crate::support::Outcome::Answered(_))
    });
}

/// Starts an agent with so many files and without the right to more.
fn limited<'a>(bed: &'a Testbed, directory: &Directory, files: usize) -> Agent<'a> {
    let run = bed.command("run", directory.path(), &["-v", "--min-sync-period", "0s"]);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_resource", "prlimit"]);
    command.arg(format!("--nofile={files}:{files}"));
    command.arg(run.get_program()).args(run.get_args());
    let log = directory.path().join(".log");
    let node = &bed.node.namespace;
    node.enter(|| Agent::spawn(node, command, &log))
}
