//! portolan's userspace mode: the agent stands in for the endpoints.
//!
//! The rules are those of the nftables mode, for a cluster whose every service port has the agent
//! as its endpoint: a socket on the node for all endpoints of the port, and where the policy Local
//! plays a part, a second one for those of this node. So the front ends of every kind, source
//! ranges, traffic policies, refusals and drops are the same rules in both modes, and so are
//! adoption, repair and the cost of a change; this module only says what the cluster looks like
//! from there ([`stand_in`]), and what each socket forwards to ([`fronts`]).
//!
//! Two things are the agent's and not the rules': whose turn it is, and client affinity.
//!
//! Must not open sockets, nor know who forwards.

mod fronts;
mod stand_in;

pub use fronts::{Front, FrontId, Scope, fronts};
pub use stand_in::{service, slices};
