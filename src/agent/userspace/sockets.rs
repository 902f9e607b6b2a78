//! The sockets that rules lead to: opened and closed with the Services.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Addresses;
use crate::model::{NamespacedName, Protocol};
use crate::proxy::{self, Bound, Forwarder, Pool, Transport};
use crate::translate::userspace::{Front, FrontId};

/// How often a port is asked for until one is not in the range of node ports.
const ATTEMPTS: usize = 64;

/// A socket could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot open a socket for {front} at {address}")]
pub(super) struct OpenError {
    front: String,
    address: IpAddr,
    #[source]
    source: io::Error,
}

/// A socket that is served.
#[derive(Debug)]
pub(super) struct Open {
    address: SocketAddr,
    front: proxy::Front,
}

/// All sockets, by Service.
#[derive(Debug)]
pub(super) struct Sockets {
    of: BTreeMap<NamespacedName, BTreeMap<FrontId, Open>>,
    /// Ports that rules take from the kernel's choice.
    node_ports: RangeInclusive<u16>,
}

impl Sockets {
    pub(super) fn new(node_ports: RangeInclusive<u16>) -> Self {
        let of = BTreeMap::new();
        Self { of, node_ports }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.of.values().map(BTreeMap::len).sum()
    }

    /// The Services that have any.
    pub(super) fn services(&self) -> Vec<NamespacedName> {
        self.of.keys().cloned().collect()
    }

    /// Where the sockets of a Service are bound.
    pub(super) fn addresses(
        &self,
        service: &NamespacedName,
    ) -> impl Iterator<Item = (&FrontId, SocketAddr)> {
        let fronts = self.of.get(service).into_iter().flatten();
        fronts.map(|(id, open)| (id, open.address))
    }

    /// Makes the sockets of a Service those that are wanted. What is wanted no more is handed out,
    /// to be closed when no rule leads there.
    ///
    /// # Errors
    /// A socket cannot be had. Those that could are there.
    pub(super) fn follow(
        &mut self,
        service: &NamespacedName,
        wanted: Vec<Front>,
        at: &Addresses,
        forwarder: &Forwarder,
    ) -> Result<Vec<Open>, OpenError> {
        let mut before = self.of.remove(service).unwrap_or_default();
        let mut fronts = BTreeMap::new();
        let mut outcome = Ok(());
        for wanted in wanted {
            let address = at.of(wanted.id.family);
            let affinity = wanted.affinity_seconds;
            let affinity = affinity.map(|seconds| Duration::from_secs(seconds.into()));
            let present = before.remove(&wanted.id);
            if let Some(present) = present.filter(|open| open.address.ip() == address) {
                present.front.set(wanted.endpoints, affinity);
                fronts.insert(wanted.id, present);
                continue;
            }
            let pool = Pool::new(wanted.endpoints, affinity);
            match open(&wanted.id, address, pool, &self.node_ports, forwarder) {
                Ok(open) => drop(fronts.insert(wanted.id, open)),
                Err(source) => {
                    let front = wanted.id.to_string();
                    outcome = Err(OpenError {
                        front,
                        address,
                        source,
                    });
                    break;
                }
            }
        }
        if outcome.is_err() {
            // Nothing that rules lead to is closed before they lead elsewhere.
            fronts.append(&mut before);
        }
        if !fronts.is_empty() {
            self.of.insert(service.clone(), fronts);
        }
        outcome.map(|()| before.into_values().collect())
    }
}

fn open(
    id: &FrontId,
    address: IpAddr,
    pool: Pool,
    avoid: &RangeInclusive<u16>,
    forwarder: &Forwarder,
) -> io::Result<Open> {
    let transport = match id.port.protocol {
        Protocol::Udp => Transport::Udp,
        Protocol::Tcp | Protocol::Sctp => Transport::Tcp,
    };
    let bound = bind(transport, address, avoid)?;
    let address = bound.address()?;
    let front = forwarder.serve(id.to_string().into(), bound, pool.into())?;
    Ok(Open { address, front })
}

/// Binds to a port of the kernel's choice that is no node port.
fn bind(transport: Transport, address: IpAddr, avoid: &RangeInclusive<u16>) -> io::Result<Bound> {
    // Kept until the end, so that the kernel does not choose the same again.
    let mut refused = Vec::new();
    for _ in 0..ATTEMPTS {
        let bound = Bound::bind(transport, SocketAddr::new(address, 0))?;
        if !avoid.contains(&bound.address()?.port()) {
            return Ok(bound);
        }
        refused.push(bound);
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "every port that the kernel chose is in the range of node ports",
    ))
}
