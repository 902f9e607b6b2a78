//! What Deployments, StatefulSets, DaemonSets, ReplicaSets and Pods have in common.

use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::source::api::{FieldError, Findings, Reason, Shown, defaults, validate};

/// What all kinds have in common.
pub(super) struct Set {
    pub(super) metadata: ObjectMeta,
    pub(super) replicas: Option<i32>,
    pub(super) service_name: Option<String>,
    pub(super) selector: LabelSelector,
    pub(super) pod: core::Pod,
}

impl Set {
    pub(super) fn of_pod(pod: core::Pod) -> Self {
        Self {
            metadata: pod.metadata.clone(),
            replicas: None,
            service_name: None,
            selector: LabelSelector::default(),
            pod,
        }
    }

    fn new(metadata: ObjectMeta, selector: LabelSelector, pod: core::PodTemplateSpec) -> Self {
        let labels = pod.metadata.unwrap_or_default().labels;
        Self {
            replicas: None,
            service_name: None,
            selector,
            pod: core::Pod {
                metadata: ObjectMeta {
                    name: metadata.name.clone(),
                    namespace: metadata.namespace.clone(),
                    labels,
                    ..ObjectMeta::default()
                },
                spec: pod.spec,
                status: None,
            },
            metadata,
        }
    }
}

impl From<apps::Deployment> for Set {
    fn from(object: apps::Deployment) -> Self {
        let spec = object.spec.unwrap_or_default();
        Self {
            replicas: spec.replicas,
            ..Self::new(object.metadata, spec.selector, spec.template)
        }
    }
}

impl From<apps::ReplicaSet> for Set {
    fn from(object: apps::ReplicaSet) -> Self {
        let spec = object.spec.unwrap_or_default();
        let template = spec.template.unwrap_or_default();
        Self {
            replicas: spec.replicas,
            ..Self::new(object.metadata, spec.selector, template)
        }
    }
}

impl From<apps::StatefulSet> for Set {
    fn from(object: apps::StatefulSet) -> Self {
        let spec = object.spec.unwrap_or_default();
        Self {
            replicas: spec.replicas,
            service_name: spec.service_name,
            ..Self::new(object.metadata, spec.selector, spec.template)
        }
    }
}

impl From<apps::DaemonSet> for Set {
    fn from(object: apps::DaemonSet) -> Self {
        let spec = object.spec.unwrap_or_default();
        Self::new(object.metadata, spec.selector, spec.template)
    }
}

/// What the API server would refuse, as far as it matters here. Label selectors of sets are
/// compared by `matchLabels`.
pub(super) fn check(set: &Set, findings: &mut Findings) {
    let error = |field: &str, reason| FieldError {
        field: field.to_owned(),
        reason,
    };
    if set.metadata.name.as_ref().is_none_or(String::is_empty) {
        let reason = Reason::Required("name or generateName is required".to_owned());
        findings.errors.push(error("metadata.name", reason));
    }
    if let Some(replicas) = set.replicas.filter(|replicas| *replicas < 0) {
        let detail = "must be greater than or equal to 0".to_owned();
        let reason = Reason::Invalid(Shown::from(replicas), detail);
        findings.errors.push(error("spec.replicas", reason));
    }
    let wanted = set.selector.match_labels.clone().unwrap_or_default();
    let labels = set.pod.metadata.labels.clone().unwrap_or_default();
    if wanted.is_empty() && set.selector.match_expressions.is_none() {
        let reason = Reason::Required(String::new());
        findings.errors.push(error("spec.selector", reason));
    }
    if wanted
        .iter()
        .any(|(key, value)| labels.get(key) != Some(value))
    {
        let shown = serde_json::to_value(&labels).unwrap_or_default();
        let detail = "`selector` does not match template `labels`".to_owned();
        let reason = Reason::Invalid(Shown::from(&shown), detail);
        findings
            .errors
            .push(error("spec.template.metadata.labels", reason));
    }
    let mut pod = set.pod.clone();
    let mut of_template = Findings::default();
    defaults::pod(&mut pod);
    validate::pod(&pod, &mut of_template);
    // The name is the workload's, and not within its template.
    let inside = of_template.errors.into_iter().map(|found| {
        let outside = ["metadata.name", "metadata.namespace"].contains(&found.field.as_str());
        let field = match outside {
            true => found.field,
            false => format!("spec.template.{}", found.field),
        };
        FieldError { field, ..found }
    });
    findings.errors.extend(inside);
}
