//! `portolan port-forward`: ports of this machine that lead to a Service's endpoints or to Pods,
//! as `kubectl port-forward` makes them.
//!
//! * `direct`: from a network namespace that reaches them, a node's; bytes are forwarded by
//!   [`crate::proxy`]
//! * `cluster`: through the API server, as kubectl does
//! * `resolve`: which Pods and which port are meant, for both (pure)
//!
//! Unlike kubectl's, a forwarded port does not end with the Pod it led to: endpoints are looked up
//! again, and a connection goes to the next one if one refuses. Must not allocate, nor change
//! anything.

mod cluster;
mod direct;
mod listen;
mod objects;
mod resolve;
mod source;
mod target;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use tokio::signal::unix::{Signal, SignalKind, signal};

pub use source::{Direct, Source, addresses};
pub use target::{PortSpec, Remote, Target};

/// What to forward.
#[derive(Clone, Debug)]
pub struct ForwardOptions {
    /// Where to look things up.
    pub source: Source,
    /// The namespace; the kubeconfig's or `default` if it is not given.
    pub namespace: Option<String>,
    /// The Service, Pod or workload.
    pub target: Target,
    /// The ports.
    pub ports: Vec<PortSpec>,
    /// Addresses of this machine to listen at.
    pub addresses: Vec<IpAddr>,
}

/// Forwards until SIGINT or SIGTERM. What kubectl would print goes to `out`.
///
/// # Errors
/// No such Service, Pod or port; a port here is taken; the source cannot be read at the start.
pub fn run(options: &ForwardOptions, out: &mut dyn Write) -> anyhow::Result<()> {
    match &options.source {
        Source::Direct(source) => direct::run(options, source, out),
        Source::Cluster(access) => cluster::run(options, access, out),
    }
}

/// Tells of a connection in kubectl's words.
fn announce(own: SocketAddr) {
    // The reader of a pipe may be gone; forwarding goes on.
    let _ = writeln!(io::stdout(), "Handling connection for {}", own.port());
}

/// SIGINT and SIGTERM, caught from when this is made: before anything is said to listen.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them. To be called on a runtime.
    fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    async fn one(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
