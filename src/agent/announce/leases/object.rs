//! Lease objects, and what of them counts.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use crate::announce::{LeaseRecord, LeaseStep, LeaseTiming};
use crate::model::NamespacedName;

/// The label of our Leases, as it is selected by.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by=portolan";
/// Before the Service's namespace and name. Names of Services have no dots.
const PREFIX: &str = "portolan-lb.";

fn name(service: &NamespacedName) -> String {
    format!("{PREFIX}{}.{}", service.namespace, service.name)
}

/// The Service that a Lease is about, and what it says.
pub(super) fn record(lease: Lease) -> Option<(NamespacedName, LeaseRecord)> {
    let full = lease.metadata.name?;
    let (namespace, name) = full.strip_prefix(PREFIX)?.split_once('.')?;
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|n| n.try_into().ok());
    let record = LeaseRecord {
        holder: spec
            .holder_identity
            .filter(|holder| !holder.is_empty())
            .map(Into::into),
        duration: Duration::from_secs(seconds.unwrap_or(0)),
        transitions: spec.lease_transitions.unwrap_or(0),
        version: lease.metadata.resource_version.unwrap_or_default(),
        acquired: spec.acquire_time.map(|time| time.0),
    };
    Some((NamespacedName::new(namespace, name), record))
}

/// The object that a step writes.
pub(super) fn lease(
    service: &NamespacedName,
    namespace: &str,
    step: LeaseStep,
    old: &LeaseRecord,
    node: &str,
    timing: LeaseTiming,
) -> Lease {
    let now = Timestamp::now();
    let ours = old.holder.as_deref() == Some(node);
    let (holder, seconds) = match step {
        LeaseStep::Create | LeaseStep::Hold => (Some(node.to_owned()), timing.duration.as_secs()),
        LeaseStep::Release | LeaseStep::Delete => (None, 1),
    };
    let begins = holder.is_some() && !ours;
    let transitions = old.transitions + i32::from(begins && step != LeaseStep::Create);
    let acquired = old.acquired.filter(|_| !begins).unwrap_or(now);
    let (label, value) = MANAGED_BY.split_once('=').unwrap_or_default();
    Lease {
        metadata: ObjectMeta {
            name: Some(name(service)),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
            resource_version: (step != LeaseStep::Create).then(|| old.version.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            acquire_time: Some(MicroTime(acquired)),
            renew_time: Some(MicroTime(now)),
            holder_identity: holder,
            lease_duration_seconds: i32::try_from(seconds).ok(),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }),
    }
}
