//! Names that are not in the zone: asked of upstream servers, and remembered for a little while.
//!
//! | file | idea |
//! | --- | --- |
//! | `exchange` | one question to one server, over UDP and if need be TCP |
//! | `cache` | answers that may be given again, bounded |
//! | `resolv` | the servers of `resolv.conf` |
//!
//! Must not be asked for names of the zone: what is not known there must not be remembered.

mod cache;
mod exchange;
mod resolv;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

pub use exchange::UpstreamError;
pub use resolv::{ResolvConf, ResolvError};

use super::server::DnsMetrics;
use cache::Cache;

/// Questions to upstream at a time: each is a socket.
const CONCURRENT: usize = 1000;
/// Entries of the cache.
const REMEMBERED: usize = 10_000;
/// Servers asked one after the other at most: clients give up after five seconds.
const ATTEMPTS: usize = 4;
/// How often it is tried whether upstream leads back to us, once it did.
const PROBE_AGAIN: Duration = Duration::from_secs(30);

/// What upstream said.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Its response code.
    pub code: ResponseCode,
    /// Its answers.
    pub answers: Vec<Record>,
    /// Its authorities.
    pub authorities: Vec<Record>,
    /// It had more to say than could be heard.
    pub truncated: bool,
}

/// Asks upstream servers.
#[derive(Debug)]
pub struct Forwarder {
    upstreams: Vec<SocketAddr>,
    /// The server that answered last is asked first.
    first: AtomicUsize,
    concurrent: Arc<Semaphore>,
    cache: Mutex<Cache>,
    metrics: Arc<DnsMetrics>,
    /// A name that nobody but us asks for.
    probe: Name,
    /// The question came back to us: upstream leads here.
    looping: AtomicBool,
}

impl Forwarder {
    /// Asks these servers, in this order.
    #[must_use]
    pub fn new(upstreams: Vec<SocketAddr>, metrics: Arc<DnsMetrics>) -> Self {
        Self {
            upstreams,
            first: AtomicUsize::new(0),
            concurrent: Arc::new(Semaphore::new(CONCURRENT)),
            cache: Mutex::new(Cache::new(REMEMBERED)),
            metrics,
            probe: probe_name(),
            looping: AtomicBool::new(false),
        }
    }

    /// Leave to ask; `None` where too many questions are under way.
    #[must_use]
    pub fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.concurrent).try_acquire_owned().ok()
    }

    /// Whether a question that came is our own. If so, upstream leads back here, and nothing is
    /// forwarded until it no longer does.
    pub fn saw(&self, name: &Name) -> bool {
        let is_probe = *name == self.probe;
        if is_probe && !self.looping.swap(true, Ordering::Relaxed) {
            tracing::error!(
                upstreams = ?self.upstreams,
                "upstream servers send questions back here: nothing is forwarded until they no \
                 longer do"
            );
        }
        is_probe
    }

    /// Finds out, again and again while it is so, whether upstream leads back to this server. To be
    /// called when it answers.
    pub async fn watch_for_loop(self: Arc<Self>) {
        loop {
            self.looping.store(false, Ordering::Relaxed);
            for upstream in &self.upstreams {
                let _ = exchange::ask(*upstream, &self.probe, RecordType::HINFO).await;
            }
            if !self.looping.load(Ordering::Relaxed) {
                return;
            }
            sleep(PROBE_AGAIN).await;
        }
    }

    /// What upstream says about a name.
    ///
    /// # Errors
    /// No server gave an answer.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Result<Reply, UpstreamError> {
        if self.looping.load(Ordering::Relaxed) {
            return Err(UpstreamError::Loop);
        }
        if let Some(reply) = self.cache().get(name, kind, Instant::now()) {
            self.metrics.cache_hits.inc();
            return Ok(reply);
        }
        self.metrics.cache_misses.inc();
        let reply = self.ask_servers(name, kind).await?;
        self.cache().put(name, kind, &reply, Instant::now());
        Ok(reply)
    }

    async fn ask_servers(&self, name: &Name, kind: RecordType) -> Result<Reply, UpstreamError> {
        let count = self.upstreams.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut last = Err(UpstreamError::NoServer);
        for attempt in 0..ATTEMPTS.min(count.max(2)) {
            let place = (first + attempt).checked_rem(count).unwrap_or(0);
            let Some(&upstream) = self.upstreams.get(place) else {
                break;
            };
            let outcome = exchange::ask(upstream, name, kind).await;
            self.count(upstream, &outcome);
            match outcome {
                Ok(reply) if is_final(reply.code) => {
                    self.first.store(place, Ordering::Relaxed);
                    return Ok(reply);
                }
                // Another server may know better; but a refusal is more than silence.
                Err(_) if last.is_ok() => {}
                outcome => last = outcome,
            }
        }
        last
    }

    fn count(&self, upstream: SocketAddr, outcome: &Result<Reply, UpstreamError>) {
        let code = match outcome {
            Ok(reply) => reply.code.to_str().to_owned(),
            Err(error) => error.label().to_owned(),
        };
        let labels = [&*upstream.to_string(), &*code];
        self.metrics.forwarded.with_label_values(&labels).inc();
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer, and not that the server could or would not give one.
fn is_final(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn probe_name() -> Name {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(std::process::id());
    let label = format!("portolan-{number:016x}");
    let name = Name::from_ascii(label).map(|mut name| {
        name.set_fqdn(true);
        name
    });
    name.unwrap_or_default()
}
