//! `portolan dns`: the same source as the agent's, followed by the zone alone. No rule is touched.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Registry, TextEncoder};
use tokio::runtime::{Builder, Handle};

use super::RunError;
use super::feeds::{Event, Feeds};
use super::systemd;
use crate::agent::health::server::Wanted;
use crate::agent::live::LiveSource;
use crate::config::ProxyConfig;
use crate::dns::service::{Dns, DnsError, DnsOptions};
use crate::kernel::netns::{self, NetnsError, NetnsRef};
use crate::model::Snapshot;
use crate::source::changes::Changes;
use crate::source::manifest::ManifestInput;
use crate::source::watch::WatchList;

/// How long until manifests are read again whose allocations could not be kept.
const REREAD: Duration = Duration::from_secs(5);

/// What to serve.
#[derive(Clone, Debug)]
pub struct NamesOptions {
    /// Ranges that allocations come from.
    pub config: ProxyConfig,
    /// The manifests.
    pub input: ManifestInput,
    /// Where allocations are kept.
    pub state_dir: PathBuf,
    /// The network namespace to serve in.
    pub netns: NetnsRef,
    /// The name server.
    pub dns: DnsOptions,
    /// Where metrics are served, if at all.
    pub metrics_address: Option<SocketAddr>,
}

/// Why names are not served, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// As for the whole agent.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The name server.
    #[error(transparent)]
    Dns(#[from] DnsError),
}

/// Serves names until SIGTERM or SIGINT.
///
/// # Errors
/// See [`NamesError`].
pub fn run(options: &NamesOptions) -> Result<(), NamesError> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(super::WORKERS)
        .thread_name("agent")
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let handle = runtime.handle().clone();
    let outcome = netns::run_in(&options.netns, || run_inside(options, &handle));
    runtime.shutdown_background();
    outcome.map_err(|error: NetnsError| RunError::Netns(error))?
}

fn run_inside(options: &NamesOptions, runtime: &Handle) -> Result<(), NamesError> {
    let mut feeds =
        Feeds::start(runtime, WatchList::of_input(&options.input)).map_err(RunError::Signals)?;
    let registry = Registry::new();
    let dns = Dns::start(&options.dns, &registry)?;
    let mut metrics = options
        .metrics_address
        .map(|address| Wanted::new("metrics", address, router(registry)));
    if let Some(metrics) = &mut metrics {
        metrics.try_start(runtime);
    }
    let opened = LiveSource::open(options.input.clone(), &options.config, &options.state_dir);
    let (mut source, mut snapshot) = opened.map_err(RunError::Load)?;
    tell(&mut source);
    dns.names().replace(&snapshot);
    tracing::info!(services = snapshot.services.len(), "serving names");
    feeds.follow(source.watch_list());
    systemd::ready();
    while let Some(event) = next(&mut feeds, runtime, source.failing().is_some()) {
        let changes = match event {
            Event::Files { changes, .. } => changes,
            Event::Reread => Changes::everything(),
            Event::Cluster(_) => continue,
            Event::Stop(signal) => {
                tracing::info!(signal, "stopping");
                break;
            }
        };
        follow(&changes, &mut source, &mut snapshot, &dns);
        feeds.follow(source.watch_list());
    }
    systemd::stopping();
    Ok(())
}

/// The next event. While manifests are refused they are looked at again now and then: the reason
/// may not have been theirs.
fn next(feeds: &mut Feeds, runtime: &Handle, refused: bool) -> Option<Event> {
    runtime.block_on(async {
        if !refused {
            return feeds.events.recv().await;
        }
        let again = Event::Files {
            changes: Changes::default(),
            seen: std::time::Instant::now(),
        };
        let event = tokio::time::timeout(REREAD, feeds.events.recv()).await;
        event.unwrap_or(Some(again))
    })
}

fn follow(changes: &Changes, source: &mut LiveSource, snapshot: &mut Snapshot, dns: &Dns) {
    let outcome = source.changed(changes, snapshot);
    tell(source);
    match outcome {
        Ok(delta) if delta.is_empty() => {}
        Ok(delta) => {
            let touched = snapshot.apply(delta);
            dns.names().follow(snapshot, &touched);
            tracing::debug!(services = touched.services.len(), "names follow");
        }
        Err(error) => {
            for line in error.to_string().lines() {
                tracing::warn!("{line}");
            }
            tracing::warn!("the manifests before stay in force");
        }
    }
}

fn tell(source: &mut LiveSource) {
    for note in source.notes() {
        tracing::warn!("{note}");
    }
}

/// `/metrics`, and `/ready` as CoreDNS has it.
fn router(registry: Registry) -> axum::Router {
    use axum::routing::any;
    let registry = Arc::new(registry);
    let scrape = move || {
        let registry = Arc::clone(&registry);
        async move {
            let text = TextEncoder::new().encode_to_string(&registry.gather());
            text.unwrap_or_else(|error| error.to_string())
        }
    };
    axum::Router::new()
        .route("/metrics", any(scrape))
        .route("/health", any(|| async { "OK" }))
}
