//! Connections that must not go on as they are, because what they lead to is gone or because they
//! began before there was a rule for them.
//!
//! The kernel decides about a connection once, at its first packet. A UDP client that keeps its
//! source port would therefore go on sending to an endpoint that went, or past a Service that got
//! its first endpoint. After the rules are in force, such entries of the connection table are
//! removed, and the next packet is decided about anew:
//!
//! * [`forwarding`]: where a Service's front ends lead.
//! * [`changes`]: which of them lost an endpoint, or got their first one.
//! * [`stale`]: whether a connection is to go.
//! * [`pass`]: one look at the table, and what it removes.
//! * [`cleaner`]: the thread that does it beside the agent; [`at_once`] for who has no agent.
//!
//! TCP connections notice for themselves that their endpoint is gone: only such that were never
//! answered are removed. Must not touch rules, and must never make them wait.

pub mod changes;
pub mod cleaner;
pub mod forwarding;
pub mod pass;
pub mod stale;

use std::time::Duration;

use crate::config::ProxyConfig;
use crate::kernel::conntrack::ConntrackError;
use crate::model::{Protocol, Snapshot};

use forwarding::front_ends;
use pass::{Pass, Removed};
use stale::{Stale, Strays};

/// Compares the whole connection table of the calling thread's namespace with a snapshot whose
/// rules are in force: for who has changed rules and does not know from what.
///
/// Connections of Services that did not change lead where they should, and stay.
///
/// # Errors
/// See [`ConntrackError`]; some connections may have been removed.
pub fn at_once(snapshot: &Snapshot, config: &ProxyConfig) -> Result<Removed, ConntrackError> {
    let protocols = [Protocol::Udp, Protocol::Sctp, Protocol::Tcp];
    let mut stale = everything(snapshot, config, &protocols);
    stale.find_local_addresses()?;
    Pass::open()?.run(
        &stale.selections(None),
        &mut |flow| stale.is_stale(flow),
        Duration::ZERO,
    )
}

/// All front ends of some protocols, and what nobody answers for any more.
fn everything(snapshot: &Snapshot, config: &ProxyConfig, protocols: &[Protocol]) -> Stale {
    let mut stale = Stale::default();
    for service in snapshot.services.values() {
        let slices = snapshot.slices_of(&service.name);
        for (front_end, endpoints) in front_ends(service, slices, protocols) {
            stale.keep_only(front_end, endpoints);
        }
    }
    stale.strays = Some(Strays::new(config, protocols));
    stale
}
