//! The thread that removes stale connections beside the agent.
//!
//! The loop hands over what changed and goes on. While the thread is at it, more may come: that
//! waits for the next pass, together with all that comes until then. The thread works at most half
//! of the time while it is at it, and rests for several times what the last pass took before the
//! next: the table may hold a million entries, and rules may change all the time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::changes::Before;
use super::forwarding::Forwarding;
use super::pass::{Pass, Removed};
use super::stale::Stale;
use crate::agent::metrics::Metrics;
use crate::config::{Mode, ProxyConfig};
use crate::kernel::conntrack::{self, ConntrackError};
use crate::model::{IpFamily, Protocol, Snapshot};

/// Rest after each slice of work within a pass.
const REST: Duration = Duration::from_millis(10);
/// Rest after a pass, in durations of that pass; at most [`LONGEST_REST`].
const REST_FACTOR: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(2);
/// What failed is tried again after this long, then after twice as long, up to [`LAST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// How often it is looked how full the table is.
const LOOK: Duration = Duration::from_secs(30);

/// The loop's end.
#[derive(Debug)]
pub struct Cleaner {
    shared: Arc<Shared>,
    /// Rules lead to this node, which stands in for endpoints.
    stands_in: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// For the next pass.
    waiting: Stale,
    /// Of the pass that is under way.
    active: Stale,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete when the lock is let go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cleaner {
    /// Starts the thread, in the network namespace of the calling one. `mode` says where rules lead.
    ///
    /// # Errors
    /// No thread.
    pub fn start(metrics: Arc<Metrics>, mode: Mode) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let worker = Worker {
            shared: Arc::clone(&shared),
            metrics,
            pass: None,
            failures: 0,
            told: None,
            nearly_full: false,
        };
        let builder = thread::Builder::new().name("conntrack".to_owned());
        builder.spawn(move || worker.run())?;
        Ok(Self {
            shared,
            stands_in: mode == Mode::Userspace,
        })
    }

    /// The first load is in force: compares everything that is not TCP.
    pub fn started(&self, snapshot: &Snapshot, config: &ProxyConfig) {
        let protocols = [Protocol::Udp, Protocol::Sctp];
        self.hand_over(super::everything(snapshot, config, &protocols));
    }

    /// Rules for what changed since `before` are about to be in force: new connections may lead to
    /// endpoints that a pass under way does not know.
    pub fn about_to_program(&self, before: &Before, snapshot: &Snapshot) {
        let mut state = self.shared.lock();
        if state.waiting.is_empty() && state.active.is_empty() {
            return;
        }
        let soon = before.now(snapshot);
        state.waiting.spare(&soon);
        state.active.spare(&soon);
    }

    /// Those rules are in force.
    pub fn programmed(&self, before: &Before, snapshot: &Snapshot) {
        let affected: Forwarding = before.affected(&before.now(snapshot));
        if affected.is_empty() {
            return;
        }
        let mut stale = Stale::default();
        for (front_end, endpoints) in affected {
            stale.keep_only(front_end, endpoints);
        }
        self.hand_over(stale);
    }

    fn hand_over(&self, mut stale: Stale) {
        stale.stands_in = self.stands_in;
        self.shared.lock().waiting.merge(stale);
        self.shared.changed.notify_one();
    }
}

impl Drop for Cleaner {
    /// The thread ends after the pass under way. Nobody waits for it: the next start looks at
    /// everything.
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
    }
}

/// The thread's end.
struct Worker {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    /// Opened at the first pass.
    pass: Option<Pass>,
    failures: u32,
    /// The last failure, so that the same one is told once.
    told: Option<String>,
    nearly_full: bool,
}

impl Worker {
    fn run(mut self) {
        let mut earliest = Instant::now();
        let mut look = Instant::now();
        loop {
            if look <= Instant::now() {
                self.look_how_full();
                look = Instant::now() + LOOK;
            }
            match self.wait(earliest, look) {
                Next::Stop => return,
                Next::Look => {}
                Next::Pass => {
                    let started = Instant::now();
                    let outcome = self.pass();
                    let took = started.elapsed();
                    earliest = Instant::now() + self.ended(outcome, took);
                }
            }
        }
    }

    /// Waits for work, and until it may begin.
    fn wait(&self, earliest: Instant, look: Instant) -> Next {
        let mut state = self.shared.lock();
        loop {
            if state.stopped {
                return Next::Stop;
            }
            let now = Instant::now();
            let idle = state.waiting.is_empty();
            if !idle && earliest <= now {
                state.active = std::mem::take(&mut state.waiting);
                return Next::Pass;
            }
            if look <= now {
                return Next::Look;
            }
            let until = if idle { look } else { look.min(earliest) };
            let waited = self.shared.changed.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Removes what the active work calls stale.
    fn pass(&mut self) -> Result<Removed, ConntrackError> {
        let pass = match &mut self.pass {
            Some(pass) => pass,
            none => none.insert(Pass::open()?),
        };
        let selections = {
            let mut state = self.shared.lock();
            state.active.find_local_addresses()?;
            state.active.selections(pass.kernel_filters())
        };
        let shared = &self.shared;
        // The loop may learn meanwhile that a flow is not stale any more.
        let mut is_stale = |flow: &_| shared.lock().active.is_stale(flow);
        pass.run(&selections, &mut is_stale, REST)
    }

    /// Tells how a pass ended; gives the time to rest.
    fn ended(&mut self, outcome: Result<Removed, ConntrackError>, took: Duration) -> Duration {
        let mut state = self.shared.lock();
        let active = std::mem::take(&mut state.active);
        match outcome {
            Ok(removed) => {
                drop(state);
                self.metrics.flows_removed(IpFamily::V4, removed.v4, took);
                self.metrics.flows_removed(IpFamily::V6, removed.v6, took);
                tracing::debug!(removed = removed.total(), ?took, "stale connections");
                self.failures = 0;
                self.told = None;
                (took * REST_FACTOR).min(LONGEST_REST)
            }
            Err(error) => {
                // What came meanwhile is newer.
                let newer = std::mem::replace(&mut state.waiting, active);
                state.waiting.merge(newer);
                drop(state);
                self.failed(&error);
                let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
                self.failures = self.failures.saturating_add(1);
                FIRST_RETRY.saturating_mul(factor).min(LAST_RETRY)
            }
        }
    }

    fn failed(&mut self, error: &ConntrackError) {
        self.metrics.flows_not_removed();
        let text = match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        if self.told.as_ref() == Some(&text) {
            tracing::debug!("{text}");
        } else {
            tracing::warn!("stale connections stay for now: {text}");
            self.told = Some(text);
        }
    }

    fn look_how_full(&mut self) {
        let Ok(usage) = conntrack::usage() else {
            return;
        };
        self.metrics.connections(usage);
        // A tenth is left; said again only after it was clearly better.
        let percent = usage.entries.saturating_mul(100) / usage.limit.max(1);
        if percent >= 90 && !self.nearly_full {
            tracing::warn!(
                entries = usage.entries,
                limit = usage.limit,
                "the connection table is nearly full: packets of new connections will be dropped \
                 (sysctl net.netfilter.nf_conntrack_max)"
            );
        }
        self.nearly_full = percent >= if self.nearly_full { 80 } else { 90 };
    }
}

/// What a wait ended with.
enum Next {
    Pass,
    Look,
    Stop,
}
