//! The kernel's table of connections (conntrack), over ctnetlink.
//!
//! Owns reading a part of the table, removing single entries of it, and how full it is. Must not
//! decide which entries are stale.
//!
//! Entries are removed one by one, by their addresses and their id: never by a filter, which a
//! kernel that does not know it takes for "all of them".

mod read;
mod remove;
mod wire;

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::model::{IpFamily, Protocol};

use super::sysctl::{self, SysctlError};

pub use read::FlowReader;
pub use remove::FlowRemover;

/// The table could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// The process may not.
    #[error("using conntrack needs root, or CAP_NET_ADMIN in the network namespace")]
    Permission,
    /// The kernel has no ctnetlink.
    #[error("this kernel cannot show its connections: module nf_conntrack_netlink is missing")]
    Missing,
    /// The kernel or the socket refused.
    #[error("cannot {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl ConntrackError {
    fn of(operation: &'static str, source: io::Error) -> Self {
        use nix::errno::Errno;
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM) => Self::Permission,
            // nfnetlink_rcv_msg(): no such subsystem.
            Some(Errno::EINVAL | Errno::EOPNOTSUPP) => Self::Missing,
            _ => Self::Io { operation, source },
        }
    }
}

/// An entry of the table: one connection, association or exchange of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Protocol.
    pub protocol: Protocol,
    /// Who began it.
    pub source: SocketAddr,
    /// Whom the first packet was addressed to.
    pub destination: SocketAddr,
    /// Where replies come from: another address than `destination` where that is translated.
    pub replies_from: SocketAddr,
    /// A packet of the other direction was seen (`IPS_SEEN_REPLY`).
    pub replied: bool,
    /// Tells this entry from a later one with the same addresses (`CTA_ID`).
    pub id: u32,
}

impl Flow {
    /// The destination is translated.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.replies_from != self.destination
    }
}

/// Which part of the table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selection {
    /// Family.
    pub family: IpFamily,
    /// Protocol.
    pub protocol: Protocol,
    /// Only flows to this port, and this address if one is given.
    pub destination: Option<(Option<IpAddr>, u16)>,
    /// Only flows that nothing was heard of from the other side.
    pub unreplied: bool,
}

impl Selection {
    /// Whether a flow belongs to it. The kernel's own filter lets more through: kernels before 5.8
    /// (addresses) and 5.18 (status) have none, and none of them looks at ports of SCTP.
    #[must_use]
    pub fn contains(&self, flow: &Flow) -> bool {
        let to = flow.destination;
        let addressed = self.destination.is_none_or(|(address, port)| {
            port == to.port() && address.is_none_or(|address| address == to.ip())
        });
        addressed && flow.protocol == self.protocol && !(self.unreplied && flow.replied)
    }
}

/// How full the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Entries of this network namespace.
    pub entries: u64,
    /// Beyond this many, packets of new connections are dropped.
    pub limit: u64,
}

/// How full the table of the calling thread's network namespace is.
///
/// # Errors
/// The kernel has no connection tracking.
pub fn usage() -> Result<Usage, SysctlError> {
    let read = |name| sysctl::get(name).map(|value| u64::try_from(value).unwrap_or_default());
    Ok(Usage {
        entries: read("net/netfilter/nf_conntrack_count")?,
        limit: read("net/netfilter/nf_conntrack_max")?,
    })
}
