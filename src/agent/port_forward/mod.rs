//! `portolan port-forward`: ports of this machine that lead to a Service's endpoints or to Pods,
//! as `kubectl port-forward` makes them.
//!
//! Unlike kubectl's, a forwarded port does not end with the Pod it led to: endpoints are looked up
//! again when they change, and a connection goes to the next one if one refuses. Bytes are
//! forwarded by [`crate::proxy`]. Must not allocate, nor change anything.

mod resolve;
mod source;
mod target;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

pub use source::{Source, addresses};
pub use target::{PortSpec, Remote, Target};

use crate::model::Protocol;
use crate::proxy::{Bound, Forwarder, Front, Pool, Settings, Transport};
use crate::source::watch::{Settle, WatchList, Watcher};
use resolve::{Objects, Way};

/// How often a lab is asked whether it has changed.
const LOOK: Duration = Duration::from_millis(300);
/// How long a client's datagrams may pause.
const UDP_IDLE: Duration = Duration::from_secs(60);
/// Connections are a developer's: they may be silent over the weekend.
const TCP_IDLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What to forward.
#[derive(Clone, Debug)]
pub struct ForwardOptions {
    /// Where to look things up.
    pub source: Source,
    /// The namespace.
    pub namespace: String,
    /// The Service, Pod or workload.
    pub target: Target,
    /// The ports.
    pub ports: Vec<PortSpec>,
    /// Addresses of this machine to listen at.
    pub addresses: Vec<IpAddr>,
}

/// One asked-for port with what listens for it.
struct Forwarded {
    spec: PortSpec,
    way: Way,
    fronts: Vec<Front>,
}

/// Forwards until SIGINT or SIGTERM. What kubectl would print goes to `out`.
///
/// # Errors
/// No such Service, Pod or port; a port here is taken; the source cannot be read at the start.
pub fn run(options: &ForwardOptions, out: &mut dyn Write) -> anyhow::Result<()> {
    let objects = options.source.objects()?;
    let ways: Vec<Way> = options
        .ports
        .iter()
        .map(|spec| objects.way(&options.namespace, &options.target, spec))
        .collect::<Result<_, _>>()?;
    let forwarder = Forwarder::new(Settings {
        origin: options.source.origin()?,
        only_redirected: false,
        tcp_idle: TCP_IDLE,
        udp_idle: UDP_IDLE,
        announce: Some(|own| {
            // The reader of a pipe may be gone; forwarding goes on.
            let _ = writeln!(io::stdout(), "Handling connection for {}", own.port());
        }),
    })?;
    let mut forwarded = Vec::new();
    for (spec, way) in options.ports.iter().zip(ways) {
        forwarded.push(listen(options, spec, way, &forwarder, out)?);
    }
    out.flush()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(options, &mut forwarded))?;
    drop(forwarded);
    let _ = forwarder.stop(Duration::ZERO);
    Ok(())
}

/// Listens at every address that can be had; at least at one.
fn listen(
    options: &ForwardOptions,
    spec: &PortSpec,
    way: Way,
    forwarder: &Forwarder,
    out: &mut dyn Write,
) -> anyhow::Result<Forwarded> {
    let transport = match spec.protocol {
        Protocol::Udp => Transport::Udp,
        Protocol::Tcp | Protocol::Sctp => Transport::Tcp,
    };
    let pool = Arc::new(Pool::new(way.endpoints.clone(), None));
    let name: Arc<str> = format!("{}:{}", options.target, spec.remote).into();
    let mut local = spec.local.unwrap_or(way.asked);
    let (mut fronts, mut reasons) = (Vec::new(), Vec::new());
    for address in &options.addresses {
        let wanted = SocketAddr::new(*address, local);
        match Bound::bind(transport, wanted) {
            Ok(bound) => {
                let own = bound.address()?;
                // The same number for all addresses.
                local = own.port();
                let to = way.asked;
                let udp = if transport == Transport::Udp {
                    "/udp"
                } else {
                    ""
                };
                writeln!(out, "Forwarding from {own}{udp} -> {to}")?;
                let served = forwarder.serve(Arc::clone(&name), bound, Arc::clone(&pool))?;
                fronts.push(served);
            }
            Err(error) => reasons.push(format!("{wanted}: {error}")),
        }
    }
    if fronts.is_empty() {
        anyhow::bail!(
            "cannot listen for port {}: {}",
            spec.remote,
            reasons.join("; ")
        );
    }
    for reason in reasons {
        tracing::warn!("not listening at {reason}");
    }
    let spec = spec.clone();
    Ok(Forwarded { spec, way, fronts })
}

/// Has the fronts follow the source until a signal.
async fn follow(options: &ForwardOptions, forwarded: &mut [Forwarded]) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut watcher = options.source.watched().map(|input| {
        let mut watcher = Watcher::new(Settle::default());
        watcher.follow(&WatchList::of_input(input));
        watcher
    });
    let mut revision = options.source.revision();
    loop {
        let changed = async {
            match &mut watcher {
                Some(watcher) => drop(watcher.next().await),
                None => tokio::time::sleep(LOOK).await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = changed => {}
        }
        let now = options.source.revision();
        if watcher.is_none() && now == revision {
            continue;
        }
        revision = now;
        match options.source.objects() {
            Ok(objects) => update(options, forwarded, &objects),
            Err(error) => tracing::warn!("endpoints stay as they were: {error:#}"),
        }
    }
}

fn update(options: &ForwardOptions, forwarded: &mut [Forwarded], objects: &Objects) {
    for Forwarded { spec, way, fronts } in forwarded {
        match objects.way(&options.namespace, &options.target, spec) {
            Ok(new) if new.endpoints != way.endpoints => {
                tracing::info!(
                    endpoints = new.endpoints.len(),
                    "{} changed",
                    options.target
                );
                for front in fronts {
                    front.set(new.endpoints.clone(), None);
                }
                *way = new;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("endpoints stay as they were: {error}"),
        }
    }
}
