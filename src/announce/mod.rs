//! Which node answers for the addresses of load balancers on the network that nodes share.
//!
//! | file | idea |
//! | --- | --- |
//! | `claim` | what a Service asks for: its addresses, and which nodes would do |
//! | `members` | which nodes are there, by what is heard of them |
//! | `heartbeat` | what nodes tell each other |
//! | `election` | the one node of a Service, the same on every node |
//! | `lease` | in a cluster: the one node of a Service, by a Lease |
//!
//! On manifests every node decides by itself, of the same files and what it hears: there is no
//! leader. In a cluster, where a node knows only itself, the API server decides. Pure: no I/O, and times come in as values. Must not know rules, or how an address is answered for.

mod claim;
mod election;
mod heartbeat;
mod lease;
mod members;

pub use claim::{Claim, Where};
pub use election::{Election, Nodes};
pub use heartbeat::{Heartbeat, State};
pub use lease::{HeldLease, LeaseRecord, LeaseStep, LeaseTiming, LeaseWish, Tenure};
pub use members::{Members, Timing};
