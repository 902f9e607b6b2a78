//! `portolan run`: the loop that keeps the kernel and the manifests together.
//!
//! ```text
//!  files, API, signals ─────►┐                      ┌──► programmer ──► kernel
//!                           ├──► keeper ── decides ─┤
//!  other programs ──wakes──►┘    (one thread, in    └──► observers: metrics, health, ports
//!                                 the namespace)
//! ```
//!
//! Everything that touches the kernel happens on one thread, which is inside the network namespace
//! to be programmed; HTTP servers and watching run on a small runtime beside it. The first load
//! must succeed; after that no failure ends the loop: it is told, counted and tried again.

mod announcements;
mod cluster;
pub mod configz;
mod error;
mod feeds;
mod keeper;
pub mod names_only;
mod no_local;
mod observers;
mod options;
mod origin;
pub mod programmer;
mod source;
mod systemd;
mod work;

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::{Builder, Handle, Runtime};

pub use error::RunError;
pub use keeper::Periods;
pub use options::RunOptions;
pub use origin::Origin;

use super::announce::AddressAnnouncer;
use super::conntrack::changes::Before;
use super::conntrack::cleaner::Cleaner;
use super::facts::{NodeFacts, Prerequisites};
use super::health::Health;
use super::health::server::{Wanted, health_router, metrics_router};
use super::health_check_ports::{HealthCheckPorts, PortAddresses};
use super::metrics::Metrics;
use super::node::{node_port_cidrs, own_node};
use super::node_dns::NodeDns;
use super::node_settings;
use crate::config::{Mode, ProxyConfig};
use crate::dns::service::Dns;
use crate::kernel::Socket;
use crate::kernel::capabilities::{self, Namespaces};
use crate::kernel::limits;
use crate::kernel::memory;
use crate::kernel::netns::{self, NetnsRef};
use crate::kernel::readiness::Readiness;
use crate::model::{IpFamily, NodePortAddresses, Snapshot};
use crate::source::kubernetes::Announcer;
use crate::source::with_causes;
use feeds::{Event, Feeds};
use keeper::Keeper;
use no_local::NoLocal;
use observers::{Flows, Observers};
use programmer::{ProgramError, Programmer};

/// Threads for HTTP and for watching files: none of it is work.
const WORKERS: usize = 1;

/// Runs until SIGTERM or SIGINT. `make` makes the programmer on the thread inside the network
/// namespace, before anything else is done there.
///
/// # Errors
/// See [`RunError`]. Where it is [`RunError::Load`], nothing was changed.
pub fn run(
    options: &RunOptions,
    make: impl FnOnce(&ProxyConfig) -> Result<Box<dyn Programmer>, ProgramError> + Send,
) -> Result<(), RunError> {
    if let Err(error) = memory::small_pages() {
        tracing::debug!(%error, "huge pages stay");
    }
    node_settings::protect(&options.node);
    // Raising the limit takes a privilege that is about to go; who needs it says what came of it.
    if options.config.mode == Mode::Userspace
        && let Err(error) = limits::raise_open_files()
    {
        tracing::debug!(%error, "the limit of open files stays");
    }
    // Threads have the privileges of the one that makes them.
    let enters = options.netns != NetnsRef::Current;
    capabilities::keep_needed(if enters {
        Namespaces::Enter
    } else {
        Namespaces::Stay
    })?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("agent")
        .on_thread_start(give_up_entering)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let handle = runtime.handle().clone();
    let outcome = netns::run_in(&options.netns, || run_inside(options, make, &handle));
    // Requests under way are not waited for: the process ends.
    runtime.shutdown_background();
    outcome?
}

/// Makes the settings that need privileges, in the network namespace, and nothing else: kube-proxy's
/// `--init-only`.
///
/// # Errors
/// The namespace cannot be entered, or node ports cannot be let answer on localhost.
pub fn init(options: &RunOptions) -> Result<(), RunError> {
    netns::run_in(&options.netns, || {
        node_settings::protect(&options.node);
        node_settings::apply(&options.node);
        let prerequisites = Prerequisites {
            route_localnet: options.config.wants_route_localnet(),
            ..Prerequisites::default()
        };
        let mut socket = Socket::open().map_err(RunError::Runtime)?;
        for change in prerequisites.ensure(&mut socket)? {
            tracing::info!("{change}");
        }
        Ok(())
    })?
}

/// Only the thread that began has to enter a namespace.
fn give_up_entering() {
    if let Err(error) = capabilities::keep_needed(Namespaces::Stay) {
        tracing::warn!("{:#}", anyhow::Error::from(error));
    }
}

fn run_inside(
    options: &RunOptions,
    make: impl FnOnce(&ProxyConfig) -> Result<Box<dyn Programmer>, ProgramError>,
    runtime: &Handle,
) -> Result<(), RunError> {
    give_up_entering();
    // Before the programmer finds out whether conntrack is liberal.
    node_settings::apply(&options.node);
    let programmer = make(&options.config)?;
    // Before the files are read: what changes meanwhile is read again.
    let mut feeds = Feeds::start(runtime, options.origin.files()).map_err(RunError::Signals)?;
    // Before the name server, which is to listen there.
    let node_dns = &options.node_dns;
    let mut node_dns = (!node_dns.is_empty())
        .then(|| NodeDns::start(node_dns))
        .transpose()?;
    let mut observers = observers(options, programmer.families(), runtime)?;
    let Some((source, snapshot)) = origin::open(options, &mut feeds, &mut observers, runtime)?
    else {
        return Ok(());
    };
    let families = observers.families.clone();
    let addresses = port_addresses(options, &snapshot)?;
    observers.ports = Some(HealthCheckPorts::new(
        runtime.clone(),
        Arc::clone(&observers.health),
        Arc::clone(&options.config.node_name),
        families,
        addresses,
    ));
    let announcer = observers.announcer.clone();
    let keeper = Keeper::start(programmer, source, snapshot, observers, options.periods);
    let mut keeper = keeper.inspect_err(|error| not_started(announcer.as_ref(), runtime, error))?;
    if let Some(node_dns) = &mut node_dns {
        node_dns.lead()?;
    }
    memory::give_back();
    if let Err(error) = memory::let_go_of_code() {
        tracing::debug!(%error, "code of the start stays in memory");
    }
    tracing::info!(
        mode = configz::mode_name(options.config.mode),
        node = &*options.config.node_name,
        services = keeper.snapshot().services.len(),
        "{} {} runs",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION")
    );
    keeper.announce_start(configz::mode_name(options.config.mode));
    systemd::ready();
    if let Some((path, text)) = &options.watched {
        feeds.follow_configuration(runtime, path.clone(), text.clone());
    }
    let own = own_runtime()?;
    let signal = own.block_on(serve(&mut keeper, &mut feeds));
    systemd::stopping();
    tracing::info!(signal, "stopping");
    keeper.hand_over();
    keeper.drain();
    if let (feeds::RECONFIGURED, Some((path, _))) = (signal, &options.watched) {
        return Err(RunError::Reconfigured(path.clone()));
    }
    if let Some(node_dns) = &mut node_dns {
        node_dns.leave();
    }
    if options.cleanup_on_exit {
        keeper.cleanup()?;
    }
    Ok(())
}

/// The first load failed: who looks at the cluster is to know why.
fn not_started(announcer: Option<&Announcer>, runtime: &Handle, error: &ProgramError) {
    if let Some(announcer) = announcer {
        let announcement = announcements::not_started(&with_causes(error));
        runtime.block_on(announcer.tell_last(announcement));
    }
}

/// The loop's own runtime: time and readiness, no threads.
fn own_runtime() -> Result<Runtime, RunError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)
}

fn observers(
    options: &RunOptions,
    families: &[IpFamily],
    runtime: &Handle,
) -> Result<Observers, RunError> {
    let metrics = Arc::new(Metrics::new(options.config.mode, families)?);
    let health = Arc::new(Health::new(options.periods.sync));
    let dns = options.dns.as_ref();
    let dns = dns
        .map(|dns| Dns::start(dns, metrics.registry()))
        .transpose()?;
    let announced = options.announce.clone();
    let addresses = announced
        .map(|announce| AddressAnnouncer::start(announce, metrics.registry(), runtime))
        .transpose()?;
    let mut servers = Vec::new();
    if let Some(address) = options.metrics_address {
        let router = metrics_router(&metrics, configz::configuration(options));
        servers.push(Wanted::new("metrics", address, router));
    }
    if let Some(address) = options.healthz_address {
        let router = health_router(&health, &metrics);
        servers.push(Wanted::new("health", address, router));
    }
    for server in &mut servers {
        if options.bind_hard_fail {
            server.start(runtime)?;
        } else {
            server.try_start(runtime);
        }
    }
    let flows = Flows {
        cleaner: Cleaner::start(Arc::clone(&metrics), options.config.mode)
            .map_err(RunError::Runtime)?,
        before: Before::default(),
        config: options.config.clone(),
    };
    Ok(Observers {
        metrics,
        health,
        families: families.to_vec(),
        no_local: NoLocal::new(Arc::clone(&options.config.node_name), families),
        ports: None,
        flows: Some(flows),
        dns,
        addresses,
        servers,
        runtime: Some(runtime.clone()),
        announcer: None,
    })
}

/// Health-check node ports answer where node ports do. Found out once, as kube-proxy does.
fn port_addresses(options: &RunOptions, snapshot: &Snapshot) -> Result<PortAddresses, RunError> {
    let mut socket = Socket::open().map_err(RunError::Runtime)?;
    let local = NodeFacts::probe(&mut socket)?.local_addresses;
    let node = own_node(snapshot, &options.config, &local);
    let cidrs = node_port_cidrs(&options.config, &node);
    let resolve = |family| NodePortAddresses::resolve(&cidrs, &local, family);
    Ok(PortAddresses {
        v4: resolve(IpFamily::V4),
        v6: resolve(IpFamily::V6),
    })
}

/// Waits, and has the keeper act, until a signal says to stop; gives its name.
async fn serve(keeper: &mut Keeper, feeds: &mut Feeds) -> &'static str {
    let wakes = wakes(keeper);
    let mut watchdog = systemd::Watchdog::new(Instant::now());
    feeds.follow(keeper.watch_list());
    loop {
        let now = Instant::now();
        watchdog.pat(now);
        keeper.step(now);
        let due = keeper.due(now);
        let due = watchdog.due().map_or(due, |watchdog| due.min(watchdog));
        tokio::select! {
            event = feeds.events.recv() => {
                if let Some(signal) = take(keeper, feeds, event) {
                    return signal;
                }
            }
            () = readable(wakes.as_ref()) => keeper.listen(Instant::now()),
            () = tokio::time::sleep_until(due.into()) => {}
        }
    }
}

/// Takes an event and all that came since, so that a burst is programmed once. Gives the name of
/// the signal that says to stop.
fn take(keeper: &mut Keeper, feeds: &mut Feeds, first: Option<Event>) -> Option<&'static str> {
    let mut next = first;
    loop {
        let now = Instant::now();
        match next {
            Some(Event::Files { changes, seen }) => keeper.files_changed(&changes, seen, now),
            Some(Event::Cluster(batch)) => keeper.received(batch, now),
            Some(Event::Reread) => keeper.asked_again(now),
            Some(Event::Stop(signal)) => return Some(signal),
            // The feeds live as long as the process.
            None => return Some("end of events"),
        }
        feeds.follow(keeper.watch_list());
        match feeds.events.try_recv() {
            Ok(event) => next = Some(event),
            Err(_) => return None,
        }
    }
}

/// What the programmer listens to, if it does.
fn wakes(keeper: &mut Keeper) -> Option<Readiness> {
    let watched = keeper.programmer().wakes()?.and_then(Readiness::of);
    watched
        .inspect_err(|error| tracing::warn!("cannot listen to other programs: {error}"))
        .ok()
}

/// Waits until there may be something to listen to; for ever without such a thing.
async fn readable(wakes: Option<&Readiness>) {
    let Some(wakes) = wakes else {
        return std::future::pending().await;
    };
    if let Err(error) = wakes.wait().await {
        tracing::debug!(%error, "waiting for other programs");
        std::future::pending::<()>().await;
    }
}
