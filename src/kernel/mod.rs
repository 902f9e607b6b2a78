//! Netlink writers, readers and probes: the only place that talks to the kernel, and the only one
//! with `unsafe` code.
//!
//! Must not know Kubernetes: it speaks of tables, chains, rules, links and namespaces.
//!
//! * [`nft`]: transactions on nf_tables, dumps of tables, chains, rules, sets and elements, the same
//!   in memory for tests; hearing what other programs change.
//! * [`nfacct`]: named packet counters that rules refer to.
//! * [`capabilities`]: giving up privileges.
//! * [`conntrack`]: the table of connections: reading a part of it, removing entries.
//! * [`netns`]: doing any of this in another network namespace; [`named_netns`] makes such that last.
//! * [`netdev`]: links, addresses and routes. [`process`]: who is in a namespace, and ending them. [`view`]: a
//!   network namespace with a host name and files under `/etc` of its own.
//! * [`memory`]: pages of this process.
//! * [`wakes`]: several things to wait for as one, and an alarm among them.
//! * [`datagrams`]: many UDP datagrams in one system call.
//! * [`splice`]: bytes from socket to socket without copies; [`limits`]: open files of this process.
//! * [`address`]: addresses that go with the process.
//! * [`neighbours`]: answering ARP and neighbour discovery for addresses that no link has.
//! * [`ipset`]: names of sets, and destroying them.
//! * [`ipvs`]: virtual servers and real servers, and the same in memory for tests.
//! * [`sysctl`], [`link`]: kernel settings, links and addresses of the namespace a thread is in.
//!
//! Everything here but [`nft::NftListener`] is synchronous and acts on the network namespace of the calling thread; a
//! netlink socket stays in the namespace it was opened in.
#![allow(
    unsafe_code,
    reason = "C libraries and raw sockets are called here and nowhere else"
)]

pub mod address;
pub mod capabilities;
pub mod conntrack;
pub mod datagrams;
mod filter;
pub mod ipset;
pub mod ipvs;
pub mod limits;
pub mod link;
pub mod memory;
pub mod named_netns;
pub mod neighbours;
pub mod netdev;
mod netlink;
pub mod netns;
pub mod nfacct;
pub mod nft;
pub mod process;
pub mod readiness;
pub mod splice;
pub mod sysctl;
pub mod view;
pub mod wakes;

pub use netlink::Socket;
