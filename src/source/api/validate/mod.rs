//! What the API server refuses when an object is created, and what it warns about
//! (`apis/core/validation`, `apis/discovery/validation`, `api/service/warnings.go`).
//!
//! Expects defaulted objects. Must not check what only allocation can decide: ranges of cluster
//! IPs and node ports, whether the cluster has a second family, whether a health-check port is there.

use super::Findings;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
/// x
pub fn service(_: &core::Service, _: &mut Findings) {}
/// x
pub fn endpoint_slice(_: &discovery::EndpointSlice, _: &mut Findings) {}
/// x
pub fn endpoints(_: &core::Endpoints, _: &mut Findings) {}
/// x
pub fn node(_: &core::Node, _: &mut Findings) {}
/// x
pub fn pod(_: &core::Pod, _: &mut Findings) {}
/// x
pub fn namespace(_: &core::Namespace, _: &mut Findings) {}
