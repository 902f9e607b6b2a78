//! Forwarding in user space: what comes to a socket of this process goes on to an endpoint, over a
//! connection of this process.
//!
//! ```text
//!  client ──► Bound ──► Pool: whose turn? ──► dial, another one if it refuses ──► endpoint
//!             socket    round robin, affinity  (tcp, udp)
//!                                              relay: both ways until both ended
//! ```
//!
//! Owns sockets, connections, flows of datagrams and the choice of the endpoint. Must not know
//! rules, Services or where endpoints come from. Used by the userspace mode and by
//! `portolan port-forward`.

mod bound;
mod forwarder;
mod origin;
mod pool;
mod relay;
mod tcp;
mod udp;

pub use bound::{Bound, Transport};
pub use forwarder::{Forwarder, Front, Settings};
pub use origin::Origin;
pub use pool::Pool;
