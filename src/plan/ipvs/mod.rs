//! IPVS state: virtual servers, their real servers, and the addresses of the dummy device that
//! clients reach them at; what of it should be, what is, and the steps between.
//!
//! The words are `ipvsadm`'s. IPVS knows no transactions, so that the order of steps carries the
//! promise a transaction would give: [`Plan`] owns that order. Must not know
//! Kubernetes, and must not talk to the kernel.

mod diff;
pub mod json;
mod ownership;
mod server;
mod step;
pub mod text;

pub use crate::model::Scheduler;
pub use diff::{Plan, Retired, between, lingering, plan};
pub use ownership::Ownership;
pub use server::{Present, PresentReal, PresentServer, Server, ServerKey, ServerSpec};
pub use step::Step;

/// The dummy device that service addresses are on: kube-proxy's name for it.
pub const DEVICE: &str = "kube-ipvs0";
