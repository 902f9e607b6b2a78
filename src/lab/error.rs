//! Why a lab could not do what was asked.

use crate::agent::cluster::LoadError;
use crate::source::manifest::ManifestErrors;

/// Why a lab could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// What was asked makes no sense here: no such lab, node or pod. Nothing was touched.
    #[error("{0}")]
    Asked(String),
    /// The manifests are wrong. Nothing was touched.
    #[error(transparent)]
    Manifests(#[from] LoadError),
    /// The Deployments and their like in them are wrong. Nothing was touched.
    #[error(transparent)]
    Workloads(#[from] ManifestErrors),
    /// The machine does not do it.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

macro_rules! failed {
    ($($kind:ty),*) => {$(
        impl From<$kind> for LabError {
            fn from(error: $kind) -> Self {
                Self::Failed(error.into())
            }
        }
    )*};
}

failed!(
    std::io::Error,
    serde_json::Error,
    crate::kernel::named_netns::NamedError,
    crate::kernel::netdev::NetdevError,
    crate::kernel::netns::NetnsError,
    crate::kernel::sysctl::SysctlError
);
