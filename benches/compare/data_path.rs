//! What rules cost a packet: how long it takes to set up a connection through the first and the
//! last of many Services, from another network namespace.
//!
//! All pod addresses are the node's own here, so that one listener answers for every endpoint and
//! the way of a packet differs only in the rules.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::gettid;
use socket2::SockRef;

use crate::cluster::Cluster;
use crate::manifests::State;
use crate::measure::measure;
use crate::namespace::{self, ip};
use crate::result::{Connects, Mode};
use crate::settings::Settings;
use crate::text::first_and_last;

/// Connections that are timed, and those before, which are not.
const TIMED: usize = 2000;
const WARM_UP: usize = 200;
/// A connection that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// The port that endpoints have in the manifests.
const POD_PORT: u16 = 8080;

/// Without rules, then in every mode.
pub(crate) fn run(settings: &Settings, services: u32) -> anyhow::Result<Vec<Connects>> {
    let cluster = Cluster::new(settings, services)?;
    let rules = std::fs::read_to_string(cluster.rules(Mode::Iptables, State::Base)?)?;
    let (first, last) = first_and_last(&rules).context("no Service in the rules")?;
    let pod = (
        "an endpoint, without a Service",
        "10.64.0.1".parse()?,
        POD_PORT,
    );
    let first = ("the first Service", first.parse::<Ipv4Addr>()?, 80);
    let last = ("the last Service", last.parse::<Ipv4Addr>()?, 80);
    let mut all = one_way(None, services, &[pod], || Ok(()))?;
    for mode in Mode::ALL {
        let manifests = cluster.one_file(State::Base)?;
        let arguments = cluster.arguments("apply", mode, &manifests, "state-data-path");
        let mut command = vec![settings.portolan.clone().into_os_string()];
        command.extend(arguments);
        let apply = || {
            if measure(&command, None, settings.limit)?.stopped {
                bail!("{} mode: rules not loaded within the limit", mode.name());
            }
            Ok(())
        };
        all.extend(one_way(Some(mode), services, &[pod, first, last], apply)?);
    }
    Ok(all)
}

type Target = (&'static str, Ipv4Addr, u16);

/// Connections to each of the targets, with the rules that `load` brings into the kernel.
fn one_way(
    mode: Option<Mode>,
    services: u32,
    targets: &[Target],
    load: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Connects>> {
    namespace::fresh()?;
    ip("route add local 10.64.0.0/10 dev lo")?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, POD_PORT))?;
    load()?;
    let (ready, is_ready) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| accept_all(&listener));
        let client = scope.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            ready.send(gettid())?;
            may_go.recv()?;
            configure_client()?;
            let times = targets.iter().map(|target| times(*target));
            times.collect::<anyhow::Result<Vec<_>>>()
        });
        let connected = is_ready
            .recv()
            .context("the client did not start")
            .and_then(|client| link(client.as_raw()));
        // The client waits for this word; without it, it ends.
        match &connected {
            Ok(()) => drop(go.send(())),
            Err(_) => drop(go),
        }
        let outcome = client.join();
        // Wakes the listener's thread; there is nobody left to serve.
        let _ = shutdown(listener.as_raw_fd(), Shutdown::Both);
        connected?;
        let times = outcome.map_err(|_| anyhow::anyhow!("the client's thread died"))??;
        let named = targets.iter().zip(times);
        Ok(named
            .map(|((through, ..), times)| connects(mode, services, through, &times))
            .collect())
    })
}

/// Joins this namespace with that of the client's thread.
fn link(client: i32) -> anyhow::Result<()> {
    ip(&format!(
        "link add bench0 type veth peer name bench1 netns {client}"
    ))?;
    ip("address add 192.168.20.1/24 dev bench0")?;
    ip("link set bench0 up")
}

fn configure_client() -> anyhow::Result<()> {
    ip("address add 192.168.20.2/24 dev bench1")?;
    ip("link set bench1 up")?;
    ip("route add default via 192.168.20.1")
}

fn accept_all(listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        drop(stream);
    }
}

/// How long each connection took, in microseconds, shortest first.
fn times((through, address, port): Target) -> anyhow::Result<Vec<f64>> {
    let address = SocketAddr::from((address, port));
    let connect = || -> io::Result<f64> {
        let begun = Instant::now();
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        let took = begun.elapsed();
        // Reset at the end, so that no port is kept in TIME_WAIT.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(took.as_secs_f64() * 1e6)
    };
    let said = || format!("cannot connect through {through} ({address})");
    for _ in 0..WARM_UP {
        connect().with_context(said)?;
    }
    let times = (0..TIMED).map(|_| connect());
    let mut times: Vec<f64> = times.collect::<io::Result<_>>().with_context(said)?;
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn connects(mode: Option<Mode>, services: u32, through: &'static str, times: &[f64]) -> Connects {
    let at = |hundredth: usize| times.get(times.len() * hundredth / 100).copied();
    Connects {
        mode,
        services: if mode.is_some() { services } else { 0 },
        through,
        connections: times.len(),
        p50_microseconds: at(50).unwrap_or(f64::NAN),
        p99_microseconds: at(99).unwrap_or(f64::NAN),
    }
}
