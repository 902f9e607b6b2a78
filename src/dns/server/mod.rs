//! The name server: questions over UDP and TCP, answers from the zone, the rest from upstream.
//!
//! | file | idea |
//! | --- | --- |
//! | `respond` | one request to one reply, or to a question for upstream |
//! | `complete` | a reply with what upstream says |
//! | `encode` | a reply as bytes within a size |
//! | `udp` | threads with a socket each, in batches |
//! | `tcp` | connections, with their limits |
//! | `transfer` | the whole zone to those who may have it |
//! | `rate_limit` | how often each client may ask |
//! | `limited` | what a client gets that asks more often |
//! | `metrics` | what is counted, under CoreDNS' names |
//!
//! Messages are hickory's; the loops are not (`docs/adr/0006`). Must not look at Services: the zone
//! does.

mod complete;
mod encode;
mod limited;
mod metrics;
mod rate_limit;
mod respond;
mod tcp;
mod transfer;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use hickory_proto::rr::Name;
use ipnet::IpNet;
use tokio::runtime::Handle;

pub use metrics::DnsMetrics;
pub use respond::{EXPLAIN, Responder};

use super::forward::Forwarder;
use super::names::Names;

/// Most TCP connections at a time if not told otherwise; the oldest makes room for a new one.
const CONNECTIONS: usize = 16_384;
/// Threads that answer over UDP, at most.
const MOST_THREADS: usize = 8;

/// What a server is to do.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Addresses and ports, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Who may have the whole zone.
    pub transfer_to: Vec<IpNet>,
    /// Finish the search of a pod's resolver for it; the domains that nodes add to it.
    pub autopath: Option<Vec<Name>>,
    /// Queries a second that each client (IPv4 address, IPv6 /64) may ask over UDP.
    pub rate_limit: Option<NonZeroU32>,
    /// Log each query at level info.
    pub log_queries: bool,
}

/// An address cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer DNS at {address} over {transport}")]
pub struct ListenError {
    address: SocketAddr,
    transport: &'static str,
    source: io::Error,
}

/// A running server. Dropping it closes the sockets.
#[derive(Debug)]
pub struct DnsServer {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    listeners: Vec<tokio::task::JoinHandle<()>>,
}

impl DnsServer {
    /// Starts answering in the network namespace of the calling thread. Until `names` knows a
    /// complete snapshot every name of the zone is a failure, never unknown.
    ///
    /// # Errors
    /// An address is not there, or taken.
    pub fn start(
        options: &ServerOptions,
        names: Arc<Names>,
        forwarder: Option<Arc<Forwarder>>,
        metrics: Arc<DnsMetrics>,
        runtime: &Handle,
    ) -> Result<Self, ListenError> {
        let responder = Arc::new(Responder::new(options, names, forwarder, metrics));
        let mut server = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            listeners: Vec::new(),
        };
        raise_file_limit();
        let connections = Arc::new(tcp::Connections::new(most_connections()));
        for &address in &options.listen {
            let failed = |transport| {
                move |source| ListenError {
                    address,
                    transport,
                    source,
                }
            };
            // TCP first: its port is ours alone, while UDP's is shared by the threads, and would be
            // with another process.
            let listener = tcp::bind(address, runtime).map_err(failed("TCP"))?;
            let task = tcp::serve(listener, Arc::clone(&responder), Arc::clone(&connections));
            server.listeners.push(runtime.spawn(task));
            for _ in 0..threads() {
                let socket = udp::bind(address).map_err(failed("UDP"))?;
                let worker = udp::Worker::new(
                    socket,
                    Arc::clone(&responder),
                    runtime.clone(),
                    Arc::clone(&server.stop),
                );
                let thread = std::thread::Builder::new()
                    .name("dns".to_owned())
                    .spawn(move || worker.run())
                    .map_err(failed("UDP"))?;
                server.threads.push(thread);
            }
            tracing::info!(%address, "answering DNS");
        }
        Ok(server)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for listener in &self.listeners {
            listener.abort();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_THREADS))
}

/// A connection is an open file: as many as the system lets this process have.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::debug!(%error, "raising the limit of open files");
    }
}

/// A quarter of the files that may be open stays free for everything else.
fn most_connections() -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    (files / 4 * 3).min(CONNECTIONS)
}

/// Where a generator of rotations begins.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::thread::current().id()) | 1
}

/// The next number of a xorshift generator (Marsaglia, 2003).
fn next_random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap_or(0)
}
