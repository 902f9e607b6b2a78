//! IPVS over generic netlink, and the dummy device that service addresses are on.
//!
//! Owns the messages of family `IPVS` (`include/uapi/linux/ip_vs.h`, `net/netfilter/ipvs/ip_vs_ctl.c`)
//! and the question whether the kernel can do what they ask. No `ipvsadm` is run. Must not know
//! Kubernetes, nor which virtual servers are ours.

mod connections;
mod decode;
mod encode;
mod error;
pub mod fake;
mod probe;
mod socket;
mod wire;

use std::collections::HashSet;
use std::net::SocketAddr;

pub use error::{IpvsError, Refused};
pub use probe::{Missing, ProbeError, probe};
pub use socket::{IpvsSocket, Timeouts};

use crate::plan::ipvs::{Present, PresentReal, Retired, ServerKey, Step};

/// A kernel with IPVS: the running one, or one in memory for tests.
pub trait IpvsKernel {
    /// The dummy device with its addresses, and all virtual servers of addresses. Real servers are
    /// asked for only of those that `wanted` wants.
    ///
    /// # Errors
    /// See [`IpvsError`].
    fn read(
        &mut self,
        wanted: &mut dyn FnMut(&ServerKey, &Present) -> bool,
    ) -> Result<Present, IpvsError>;

    /// The real servers of a virtual server; `None` if there is no such virtual server.
    ///
    /// # Errors
    /// See [`IpvsError`].
    fn reals(
        &mut self,
        key: &ServerKey,
    ) -> Result<Option<Vec<(SocketAddr, PresentReal)>>, IpvsError>;

    /// The timeouts in force.
    ///
    /// # Errors
    /// See [`IpvsError`].
    fn timeouts(&mut self) -> Result<Timeouts, IpvsError>;

    /// Which of these real servers have connections that carry data.
    ///
    /// # Errors
    /// See [`IpvsError`].
    fn busy(&mut self, among: &HashSet<Retired>) -> Result<HashSet<Retired>, IpvsError>;

    /// Tries all steps in order and gives those that were refused.
    ///
    /// # Errors
    /// See [`IpvsError`]: what became of the steps is not known then.
    fn take(&mut self, steps: &[Step]) -> Result<Vec<Refused>, IpvsError>;
}
