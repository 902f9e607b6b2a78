//! Virtual servers and real servers, as they should be and as the kernel has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::model::{IpFamily, Protocol, Scheduler};

/// What identifies a virtual server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerKey {
    /// Virtual address.
    pub address: IpAddr,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Virtual port.
    pub port: u16,
}

impl ServerKey {
    /// Its family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        IpFamily::of(self.address)
    }
}

/// `TCP 10.96.0.1:443`.
impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = SocketAddr::new(self.address, self.port);
        write!(f, "{} {socket}", self.protocol)
    }
}

/// Everything of a virtual server but its key and its real servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerSpec {
    /// Scheduler, with its flags.
    pub scheduler: Scheduler,
    /// Seconds for which a client stays at its real server; none without persistence.
    pub persistence: Option<u32>,
}

/// A virtual server as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it is.
    pub spec: ServerSpec,
    /// Weights of its real servers, all with masquerade forwarding.
    pub reals: BTreeMap<SocketAddr, u32>,
}

/// A real server as the kernel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresentReal {
    /// Weight.
    pub weight: u32,
    /// Forwards by masquerading, without thresholds: as portolan writes it.
    pub usual: bool,
    /// Connections, active and inactive.
    pub connections: u32,
}

/// A virtual server as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentServer {
    /// What it is; `None` if it is something portolan never writes: one-packet scheduling,
    /// persistence by network, a persistence engine.
    pub spec: Option<ServerSpec>,
    /// Its real servers; empty where it was not asked for them.
    pub reals: BTreeMap<SocketAddr, PresentReal>,
}

/// What the kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// The dummy device exists.
    pub device: bool,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// All virtual servers of addresses, ours or not.
    pub servers: BTreeMap<ServerKey, PresentServer>,
}
