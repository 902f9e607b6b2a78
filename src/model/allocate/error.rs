//! What can be wrong with a request for an address or port.

use std::fmt;

use super::super::NamespacedName;

/// A Service that cannot have what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Service {service}: {field}: {reason}")]
pub struct AllocationError {
    /// The Service that asked.
    pub service: NamespacedName,
    /// Path of the field at fault, as the API writes it: `spec.clusterIPs[0]`.
    pub field: String,
    /// What is wrong, in the API server's words: `Invalid value: "…": …`.
    pub reason: String,
}

/// Errors as they are found: all of them are reported at once.
#[derive(Debug, Default)]
pub(super) struct ErrorList(Vec<AllocationError>);

impl ErrorList {
    pub(super) fn push(
        &mut self,
        service: &NamespacedName,
        field: &impl fmt::Display,
        reason: impl Into<String>,
    ) {
        self.0.push(AllocationError {
            service: service.clone(),
            field: field.to_string(),
            reason: reason.into(),
        });
    }

    /// The errors, Service by Service; within one in the order they were found.
    pub(super) fn into_result(mut self) -> Result<(), Vec<AllocationError>> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by(|a, b| a.service.cmp(&b.service));
        Err(self.0)
    }
}
