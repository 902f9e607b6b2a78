//! `portolan run`: the loop that keeps the kernel and the manifests together.

pub mod programmer;
