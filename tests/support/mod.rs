//! What the tests share: a network of namespaces with real packets, manifests, the program itself.
//!
//! Owns everything a test needs that is not the behaviour under test:
//!
//! * [`netns`], [`bed`], [`host`]: a node, pods, an outside client, built in milliseconds, gone with
//!   the process however it ends.
//! * [`server`], [`dial`], [`tally`]: who answered, which address it saw, refused or timed out.
//! * [`manifest`], [`program`], [`follower`], [`tables`]: what goes into portolan, running it once or
//!   for the whole test, what the kernel holds.
//! * [`skip`]: the one way for a test to say that it did not run.
//!
//! It must not know what the rules should be: tests say what clients must see.
#![allow(
    clippy::needless_pass_by_value,
    clippy::wrong_self_convention,
    reason = "builders of manifests take what json! makes, and are chained"
)]
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: each test binary uses a part of it, and a failure is a failed test"
)]

pub(crate) mod bed;
pub(crate) mod dial;
pub(crate) mod follower;
pub(crate) mod host;
pub(crate) mod manifest;
pub(crate) mod netns;
pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod skip;
pub(crate) mod tables;
pub(crate) mod tally;

pub(crate) use bed::Testbed;
pub(crate) use dial::{Answer, Outcome, Protocol};
pub(crate) use host::Host;
pub(crate) use manifest::{Service, manifests};
pub(crate) use netns::Namespace;
pub(crate) use program::{Mode, Run, patience, portolan};
pub(crate) use tables::{Family, assert_same_rules};
pub(crate) use tally::Tally;
