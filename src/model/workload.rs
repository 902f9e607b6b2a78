//! What makes pods: Deployments and their like, as far as pods' Services need them.

use super::{NamespacedName, Pod};

/// `kind` of an object that makes pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// So many pods, it does not matter where or by which name.
    Deployment,
    /// The same, without updates.
    ReplicaSet,
    /// So many pods with ordered names that they keep.
    StatefulSet,
    /// One pod on each node.
    DaemonSet,
    /// One pod, by hand.
    Pod,
}

impl WorkloadKind {
    /// The API's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Pod => "Pod",
        }
    }
}

/// An object that makes pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Namespace and name.
    pub name: NamespacedName,
    /// `spec.replicas`, 1 by default; a DaemonSet's is of no use.
    pub replicas: u32,
    /// `spec.serviceName` of a StatefulSet: the Service under which its pods have names.
    pub service_name: Option<Box<str>>,
    /// What its pods are made like: labels, ports, host name. The name is the workload's own.
    pub template: Pod,
}
