//! Cluster DNS at its service's address, on this node: the address, and the rules that lead packets
//! past connection tracking to it.
//!
//! Owns the order of things, so that queries are answered at every moment by somebody: the address
//! first, then the server, then the rules; and backwards at the end. Whatever ends the process, the
//! kernel takes the rules back at once (they are owned by a socket of ours) and the address within
//! seconds (it has a lifetime). Then, or as long as the rules are not there, packets to the address
//! are translated to the endpoints of the Service as on any other node.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::kernel::Socket;
use crate::kernel::address::{AddressError, LeasedAddresses};
use crate::kernel::nft::{CommitError, EncodeError, NftKernel, ReadError};
use crate::model::IpFamily;
use crate::plan::op::Op;
use crate::translate::nftables::{node_dns_leaving, node_dns_table};

/// How long queries that came before the rules went are still answered.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// DNS cannot be served at its service's address.
#[derive(Debug, thiserror::Error)]
pub enum NodeDnsError {
    /// The address.
    #[error("--dns-node-local")]
    Address(#[from] AddressError),
    /// No socket.
    #[error("--dns-node-local: cannot open a netfilter netlink socket")]
    Socket(#[source] io::Error),
    /// The rules cannot be put into messages.
    #[error("--dns-node-local")]
    Encode(#[from] EncodeError),
    /// nf_tables cannot be read.
    #[error("--dns-node-local")]
    Read(#[from] ReadError),
    /// The kernel does not take the rules.
    #[error("--dns-node-local: cannot add its rules (Linux 5.12 is needed; another agent may run)")]
    Commit(#[from] CommitError),
}

/// The address is there as long as this is; the rules once they were asked for.
#[derive(Debug)]
pub struct NodeDns {
    addresses: Vec<IpAddr>,
    /// Its end is the end of the rules.
    rules: Option<Socket>,
    _lease: LeasedAddresses,
}

impl NodeDns {
    /// Puts the addresses on the node. Nothing is sent to them yet.
    ///
    /// # Errors
    /// The kernel does not take one of them.
    pub fn start(addresses: &[IpAddr]) -> Result<Self, NodeDnsError> {
        Ok(Self {
            addresses: addresses.to_vec(),
            rules: None,
            _lease: LeasedAddresses::add(addresses.to_vec())?,
        })
    }

    /// Leads what is sent to the addresses to this node's own server, which knows the zone by now.
    ///
    /// # Errors
    /// The kernel does not take the rules. Nothing is led then.
    pub fn lead(&mut self) -> Result<(), NodeDnsError> {
        let mut socket = Socket::open().map_err(NodeDnsError::Socket)?;
        self.commit(&mut socket, node_dns_table)?;
        self.rules = Some(socket);
        for address in &self.addresses {
            tracing::info!(%address, "DNS is answered on this node");
        }
        Ok(())
    }

    /// Takes the rules away: from now on the Service's endpoints answer. Returns when what was
    /// under way has had its answer.
    pub fn leave(&mut self) {
        let Some(mut socket) = self.rules.take() else {
            return;
        };
        if let Err(error) = self.commit(&mut socket, node_dns_leaving) {
            tracing::warn!("leaving DNS to others: {}", anyhow::Error::new(error));
        }
        std::thread::sleep(LAST_ANSWERS);
    }

    fn commit(
        &self,
        socket: &mut Socket,
        ops: fn(IpFamily, &[IpAddr]) -> Vec<Op>,
    ) -> Result<(), NodeDnsError> {
        let mut batch = NftKernel::batch(socket, None);
        for family in IpFamily::ALL {
            for op in ops(family, &self.addresses) {
                batch.push(&op)?;
            }
        }
        NftKernel::commit(socket, batch)?;
        Ok(())
    }
}
