//! Sockets here that clients come to, and the lines that say so.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::target::PortSpec;
use crate::model::Protocol;
use crate::proxy::{Bound, Transport};

/// Binds a port at every address that can be had, and tells of each in kubectl's words.
///
/// # Errors
/// It can be had at none of them, or `out` cannot be written to.
pub(super) fn bind(
    addresses: &[IpAddr],
    spec: &PortSpec,
    asked: u16,
    out: &mut dyn Write,
) -> anyhow::Result<Vec<Bound>> {
    let (transport, udp) = match spec.protocol {
        Protocol::Udp => (Transport::Udp, "/udp"),
        Protocol::Tcp | Protocol::Sctp => (Transport::Tcp, ""),
    };
    let mut local = spec.local.unwrap_or(asked);
    let (mut all, mut reasons) = (Vec::new(), Vec::new());
    for address in addresses {
        let wanted = SocketAddr::new(*address, local);
        match Bound::bind(transport, wanted) {
            Ok(bound) => {
                let own = bound.address()?;
                // The same number for all addresses.
                local = own.port();
                writeln!(out, "Forwarding from {own}{udp} -> {asked}")?;
                all.push(bound);
            }
            Err(error) => reasons.push(format!("{wanted}: {error}")),
        }
    }
    if all.is_empty() {
        anyhow::bail!(
            "cannot listen for port {}: {}",
            spec.remote,
            reasons.join("; ")
        );
    }
    for reason in reasons {
        tracing::warn!("not listening at {reason}");
    }
    Ok(all)
}
