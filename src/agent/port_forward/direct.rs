//! Forwarding from a network namespace that reaches the Pods: a node's of manifests, or of a lab.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use super::objects::Objects;
use super::resolve::Way;
use super::source::Direct;
use super::{ForwardOptions, PortSpec, Signals, announce, listen};
use crate::proxy::{Forwarder, Front, Origin, Pool, Settings};
use crate::source::watch::{Settle, WatchList, Watcher};

/// How often a lab is asked whether it has changed.
const LOOK: Duration = Duration::from_millis(300);
/// How long a client's datagrams may pause.
const UDP_IDLE: Duration = Duration::from_secs(60);
/// Connections are a developer's: they may be silent over the weekend.
const TCP_IDLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One asked-for port with what listens for it.
struct Forwarded {
    spec: PortSpec,
    way: Way<SocketAddr>,
    fronts: Vec<Front>,
}

/// What runs.
struct Running<'a> {
    options: &'a ForwardOptions,
    source: &'a Direct,
    origin: Origin,
    forwarder: Forwarder,
    forwarded: Vec<Forwarded>,
}

/// Forwards until a signal.
pub(super) fn run(
    options: &ForwardOptions,
    source: &Direct,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let objects = source.objects()?;
    let ways: Vec<Way<SocketAddr>> = options
        .ports
        .iter()
        .map(|spec| objects.way(namespace(options), &options.target, spec))
        .collect::<Result<_, _>>()?;
    let origin = source.origin()?;
    let settings = Settings {
        only_redirected: false,
        tcp_idle: TCP_IDLE,
        udp_idle: UDP_IDLE,
        announce: Some(announce),
    };
    let forwarder = Forwarder::new(origin.clone(), settings)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::catch()?
    };
    let mut forwarded = Vec::new();
    for (spec, way) in options.ports.iter().zip(ways) {
        forwarded.push(serve(options, spec, way, &forwarder, out)?);
    }
    out.flush()?;
    let mut running = Running {
        options,
        source,
        origin,
        forwarder,
        forwarded,
    };
    runtime.block_on(running.follow(&mut signals));
    drop(running.forwarded);
    let _ = running.forwarder.stop(Duration::ZERO);
    Ok(())
}

fn namespace(options: &ForwardOptions) -> &str {
    options.namespace.as_deref().unwrap_or("default")
}

fn serve(
    options: &ForwardOptions,
    spec: &PortSpec,
    way: Way<SocketAddr>,
    forwarder: &Forwarder,
    out: &mut dyn Write,
) -> anyhow::Result<Forwarded> {
    let pool = Arc::new(Pool::new(way.places.clone(), None));
    let name: Arc<str> = format!("{}:{}", options.target, spec.remote).into();
    let bound = listen::bind(&options.addresses, spec, way.asked, out)?;
    let fronts = bound
        .into_iter()
        .map(|bound| forwarder.serve(Arc::clone(&name), bound, Arc::clone(&pool)))
        .collect::<Result<_, _>>()?;
    let spec = spec.clone();
    Ok(Forwarded { spec, way, fronts })
}

impl Running<'_> {
    /// Has the fronts follow the source until a signal.
    async fn follow(&mut self, signals: &mut Signals) {
        let mut watcher = self.source.watched().map(|input| {
            let mut watcher = Watcher::new(Settle::default());
            watcher.follow(&WatchList::of_input(input));
            watcher
        });
        let mut revision = self.source.revision();
        loop {
            let changed = async {
                match &mut watcher {
                    Some(watcher) => drop(watcher.next().await),
                    None => tokio::time::sleep(LOOK).await,
                }
            };
            tokio::select! {
                () = signals.one() => return,
                () = changed => {}
            }
            let now = self.source.revision();
            if watcher.is_none() && now == revision {
                continue;
            }
            revision = now;
            match self.source.objects() {
                Ok(objects) => self.update(&objects),
                Err(error) => tracing::warn!("endpoints stay as they were: {error:#}"),
            }
        }
    }

    fn update(&mut self, objects: &Objects) {
        let moved = self.follow_origin();
        let target = &self.options.target;
        for Forwarded { spec, way, fronts } in &mut self.forwarded {
            match objects.way(namespace(self.options), target, spec) {
                Ok(new) => {
                    if new.places != way.places {
                        tracing::info!(endpoints = new.places.len(), "{target} changed");
                    }
                    for front in fronts {
                        if moved {
                            // Flows of datagrams from the old place end.
                            front.set(Vec::new(), None);
                        }
                        front.set(new.places.clone(), None);
                    }
                    *way = new;
                }
                Err(error) => tracing::warn!("endpoints stay as they were: {error}"),
            }
        }
    }

    /// The node that connections are made from may have failed. True if it is another now.
    fn follow_origin(&mut self) -> bool {
        match self.source.origin() {
            Ok(origin) if origin != self.origin => {
                self.forwarder.set_origin(origin.clone());
                self.origin = origin;
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!("connections are made from where they were: {error:#}");
                false
            }
        }
    }
}
