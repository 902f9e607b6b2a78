//! portolan charts a Linux node's service ports to the pods behind them: kube-proxy's whole job,
//! straight over netlink.
//!
//! Data flows one way: [`source`] reads manifests into the [`model`], [`translate`] turns the model
//! into desired kernel state, [`plan`] compares it with what is there, [`kernel`] writes the
//! difference. `ARCHITECTURE.md` draws the same picture with its reasons.

pub mod agent;
pub mod cli;
pub mod config;
pub mod dns;
pub mod kernel;
pub mod lab;
pub mod model;
pub mod plan;
pub mod proxy;
pub mod source;
pub mod translate;
