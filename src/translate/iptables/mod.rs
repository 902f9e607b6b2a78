//! kube-proxy's iptables mode: the rules of one family for one node, as `iptables-save` shows them
//! on a node that runs kube-proxy 1.36.
//!
//! [`IptablesRuleset`] is the way in; [`IptablesOptions`] says how the node is set up. The rules of
//! one service port come in pieces: the [`decision`] about which front ends it has and what they
//! do, the [`dispatch`] rules in chains shared by all services, and its own [`chains`]. [`base`]
//! holds what is there without any service.
//!
//! [`LiveRules`] keeps what every service contributes in memory, so that a change costs translation
//! for the services it touches only.
//!
//! Must not read or write the kernel, and must not order services by anything but the snapshot.
//!
//! kube-proxy's canary chains are left out on purpose: they exist to notice a flush, and portolan
//! is notified of that by the kernel.

mod base;
mod chains;
mod decision;
mod dispatch;
mod live;
pub mod names;
mod options;
mod rules;
mod ruleset;
mod selection;

pub use dispatch::{DispatchChain, DispatchRule};
pub use live::{LiveRules, Update};
pub use options::{IptablesOptions, LocalDetector, NfacctObjects};
pub use ruleset::{IptablesRuleset, ServicePortRules};
pub use selection::probability_threshold;
