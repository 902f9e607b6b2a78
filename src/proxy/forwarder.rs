//! The threads that forward, what they are set to, and how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::bound::Bound;
use super::origin::Origin;
use super::pool::Pool;
use super::tcp;
use super::udp::Datagrams;

/// Least time between two warnings of the same kind of trouble.
const SELDOM: Duration = Duration::from_secs(5);

/// How to forward.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections that no rule sent here are reset.
    pub only_redirected: bool,
    /// How long a connection may be silent.
    pub tcp_idle: Duration,
    /// How long a flow of datagrams may be silent before its client is forgotten.
    pub udp_idle: Duration,
    /// Told of every connection: the address here that it came to.
    pub announce: Option<fn(SocketAddr)>,
}

/// What all fronts share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    /// Where endpoints are reached from.
    origin: Mutex<Origin>,
    open: AtomicUsize,
    total: AtomicU64,
    /// The last connection has ended.
    quiet: Notify,
    told: Mutex<Option<Instant>>,
}

impl Shared {
    /// Where endpoints are reached from.
    pub(super) fn origin(&self) -> Origin {
        let origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
        origin.clone()
    }

    /// Counts a connection or a flow until what it gives is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Warns, unless there was a warning just now: trouble comes with every connection.
    pub(super) fn troubled(&self, text: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|at| at.elapsed() < SELDOM) {
            tracing::debug!("{text}");
        } else {
            *told = Some(Instant::now());
            tracing::warn!("{text}");
        }
    }
}

/// A connection or a flow that is under way.
#[derive(Debug)]
pub(super) struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

/// Threads that forward, in the network namespace of the thread that made them.
#[derive(Debug)]
pub struct Forwarder {
    runtime: Runtime,
    shared: Arc<Shared>,
}

impl Forwarder {
    /// Starts the threads. Endpoints are reached from `origin`.
    ///
    /// # Errors
    /// There are none to be had.
    pub fn new(origin: Origin, settings: Settings) -> io::Result<Self> {
        // Threads are born into the namespace of the one that starts them.
        let runtime = Builder::new_multi_thread()
            .thread_name("forward")
            .enable_all()
            .build()?;
        let shared = Shared {
            origin: Mutex::new(origin),
            settings,
            open: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            quiet: Notify::new(),
            told: Mutex::default(),
        };
        Ok(Self {
            runtime,
            shared: Arc::new(shared),
        })
    }

    /// Forwards what comes to a socket, until what it gives is dropped. `name` is for messages.
    ///
    /// # Errors
    /// The system has no room to watch it.
    pub fn serve(&self, name: Arc<str>, bound: Bound, pool: Arc<Pool>) -> io::Result<Front> {
        let _inside = self.runtime.enter();
        let (shared, serves) = (Arc::clone(&self.shared), Arc::clone(&pool));
        let (task, datagrams) = match bound {
            Bound::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                let serve = tcp::serve(listener, name, serves, shared);
                (self.runtime.spawn(serve), None)
            }
            Bound::Udp(socket) => {
                let socket = UdpSocket::from_std(socket)?;
                let datagrams = Arc::new(Datagrams::new(socket, name, serves, shared));
                let serve = Arc::clone(&datagrams).serve();
                (self.runtime.spawn(serve), Some(datagrams))
            }
        };
        Ok(Front {
            task: task.abort_handle(),
            datagrams,
            pool,
        })
    }

    /// Connections and flows under way.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Connections and flows since the start.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.shared.total.load(Ordering::Relaxed)
    }

    /// Has new connections and flows made from elsewhere; those under way go on as they are.
    pub fn set_origin(&self, origin: Origin) {
        let mut of = self
            .shared
            .origin
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *of = origin;
    }

    /// Ends: waits until what is under way has ended, but not longer than `grace`. Fronts are to
    /// be dropped before. Gives the number of connections that were cut.
    #[must_use]
    pub fn stop(self, grace: Duration) -> usize {
        let shared = Arc::clone(&self.shared);
        let quiet = async {
            loop {
                let notified = shared.quiet.notified();
                if shared.open.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(grace, quiet).await });
        let cut = if waited.is_ok() { 0 } else { self.open() };
        self.runtime.shutdown_background();
        cut
    }
}

/// A socket that is served. Dropping it closes the socket and ends flows of datagrams; connections
/// under way go on.
#[derive(Debug)]
pub struct Front {
    task: AbortHandle,
    datagrams: Option<Arc<Datagrams>>,
    pool: Arc<Pool>,
}

impl Front {
    /// Replaces the endpoints. Connections to one that is gone are left to end; datagrams go to
    /// another from now on.
    pub fn set(&self, endpoints: Vec<SocketAddr>, affinity: Option<Duration>) {
        self.pool.set(endpoints, affinity);
        if let Some(datagrams) = &self.datagrams {
            datagrams.keep_to_pool();
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(datagrams) = &self.datagrams {
            datagrams.end();
        }
    }
}
