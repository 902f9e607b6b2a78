//! Links and addresses of the network namespace of the calling thread.
//!
//! [`local_addresses`] reads with getifaddrs(3), which asks rtnetlink: a list on demand, without a
//! runtime. [`LinkSocket`] makes a dummy device and changes its addresses, [`LinkMonitor`] hears
//! what others do to it. Must not know which device or address is portolan's.

mod monitor;
mod socket;
mod wire;

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;

pub use monitor::{LinkEvent, LinkMonitor};
pub use socket::LinkSocket;

use super::netlink::ErrorReply;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The interface's name, or the address's label where it has one (`eth0:1`).
    pub interface: String,
}

/// A question about links or addresses, or a change of them, failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The addresses could not be listed.
    #[error("cannot list the local addresses")]
    List(#[source] io::Error),
    /// The process may not change links here.
    #[error("changing links and addresses needs root, or CAP_NET_ADMIN in the network namespace")]
    Permission,
    /// A link has the name of the dummy device and is something else.
    #[error("link {0} is no dummy device: it is not portolan's, and its name is needed")]
    NotADummy(String),
    /// The kernel refused a question.
    #[error("cannot {operation}: {}{}", Errno::from_raw(*errno).desc(), words(kernel_text.as_deref()))]
    Refused {
        /// What was asked.
        operation: String,
        /// Positive errno.
        errno: i32,
        /// The kernel's own sentence, where it gives one.
        kernel_text: Option<String>,
    },
    /// The socket failed.
    #[error("rtnetlink socket: {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

fn words(kernel_text: Option<&str>) -> String {
    kernel_text.map_or_else(String::new, |text| format!(": {text}"))
}

impl LinkError {
    fn io(operation: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { operation, source }
    }

    fn of_reply(operation: String, reply: ErrorReply) -> Self {
        if Errno::from_raw(reply.errno) == Errno::EPERM {
            return Self::Permission;
        }
        Self::Refused {
            operation,
            errno: reply.errno,
            kernel_text: reply.text,
        }
    }
}

/// All addresses of all interfaces, IPv4 and IPv6, whether the interface is up or not.
///
/// # Errors
/// getifaddrs(3) failed.
pub fn local_addresses() -> Result<Vec<LocalAddress>, LinkError> {
    let entries = getifaddrs().map_err(|errno| LinkError::List(errno.into()))?;
    let address = |entry: nix::ifaddrs::InterfaceAddress| {
        let storage = entry.address?;
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = || storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        Some(LocalAddress {
            address: v4.or_else(v6)?,
            interface: entry.interface_name,
        })
    };
    Ok(entries.filter_map(address).collect())
}
