//! Everything of DNS in one process: zone, server, forwarding, and the threads that they need.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use tokio::runtime::{Builder, Runtime};

use super::forward::Forwarder;
use super::names::Names;
use super::server::{DnsMetrics, DnsServer, ListenError, ServerOptions};
use super::zone::ZoneOptions;

/// Threads for TCP and for upstream.
const WORKERS: usize = 2;

/// What DNS is to do.
#[derive(Clone, Debug)]
pub struct DnsOptions {
    /// The zone.
    pub zone: ZoneOptions,
    /// Where and how it is served.
    pub server: ServerOptions,
    /// Servers for everything else; none: it is refused.
    pub upstreams: Vec<SocketAddr>,
}

/// DNS cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// An address cannot be served.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No threads.
    #[error("cannot start the threads of the name server")]
    Runtime(#[source] io::Error),
    /// Two metrics have one name.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// A running name server. Dropping it ends it.
#[derive(Debug)]
pub struct Dns {
    names: Arc<Names>,
    _server: DnsServer,
    runtime: Option<Runtime>,
}

impl Dns {
    /// Starts it in the network namespace of the calling thread, which its threads inherit. Names
    /// of the zone are failures until [`names`](Self::names) is told of a complete snapshot.
    ///
    /// # Errors
    /// See [`DnsError`].
    pub fn start(options: &DnsOptions, registry: &Registry) -> Result<Self, DnsError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("dns-tcp")
            .enable_all()
            .build()
            .map_err(DnsError::Runtime)?;
        let metrics = Arc::new(DnsMetrics::register(registry)?);
        let mut zone = options.zone.clone();
        let listen = &options.server.listen;
        let own = listen
            .iter()
            .map(SocketAddr::ip)
            .filter(|ip| !ip.is_unspecified());
        zone.server_addresses.extend(own);
        let names = Arc::new(Names::new(zone));
        let upstreams = without(&options.upstreams, listen);
        let forwarder = (!upstreams.is_empty())
            .then(|| Arc::new(Forwarder::new(upstreams, Arc::clone(&metrics))));
        let server = DnsServer::start(
            &options.server,
            Arc::clone(&names),
            forwarder.clone(),
            metrics,
            runtime.handle(),
        )?;
        if let Some(forwarder) = forwarder {
            runtime.spawn(forwarder.watch_for_loop());
        }
        Ok(Self {
            names,
            _server: server,
            runtime: Some(runtime),
        })
    }

    /// The zone, for whoever follows the cluster.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Questions under way are not waited for.
            runtime.shutdown_background();
        }
    }
}

/// Upstream servers that are not ourselves.
fn without(upstreams: &[SocketAddr], listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let (own, others): (Vec<_>, Vec<_>) = upstreams
        .iter()
        .partition(|upstream| listen.contains(upstream));
    for own in own {
        tracing::warn!(%own, "not forwarding to an address that is served here");
    }
    others
}
