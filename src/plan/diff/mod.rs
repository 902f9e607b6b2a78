//! The steps from what the kernel holds to what it should hold, iptables mode.
//!
//! [`PresentState`] and [`DesiredState`] keep a digest a rule; [`plan()`] compares them; a [`Plan`]
//! streams its steps ([`Plan::ops`]), prints itself ([`changes()`]), and is empty when there is
//! nothing to do. [`verify()`] lists deviations, [`cleanup()`] plans the removal of what is ours.
//!
//! What is ours: the chains the desired ruleset names, the jumps to them, and in table `nat` the
//! chains with kube-proxy's per-service prefixes. Everything else in the tables is left alone.

mod chain_name;
mod change_list;
mod changes;
mod cleanup;
mod desired;
mod known_chain;
mod ops;
mod order;
pub(super) mod owned;
mod plan;
mod present;
mod script;
mod service;
mod verify;

pub use chain_name::ChainName;
pub use change_list::{ChainDiff, ChangeKind, Changes, Line, ServiceChange};
pub use changes::changes;
pub use cleanup::{NoRuleset, cleanup};
pub use desired::DesiredState;
pub use known_chain::{ChainEdits, KnownChain, KnownEdit};
pub use ops::Step;
pub use order::RuleKeys;
pub use plan::{Counts, Plan, plan};
pub use present::PresentState;
pub use verify::{Deviation, DeviationKind, verify};
