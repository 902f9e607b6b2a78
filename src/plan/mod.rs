//! What the kernel should hold, what it does hold, and the steps between.
//!
//! Owns the vocabulary of kernel objects ([`expr`], [`op`], [`xtables`], [`ipvs`]), the comparison of
//! desired and present state ([`diff`]) and the text forms people read. Pure: no I/O, no sockets.
//! Must not know Kubernetes.

pub mod diff;
pub mod digest;
pub mod expr;
mod expr_text;
pub mod ipvs;
pub mod json;
pub mod nft_text;
pub mod nftables;
pub mod op;
pub mod xtables;
