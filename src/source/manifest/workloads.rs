//! Deployments, StatefulSets, DaemonSets and Pods, for the one verb that runs pods; and all objects
//! as they were written, for whoever hands them on.
//!
//! Rules need none of it: [`super::load`] notes these kinds as skipped. Must not judge what `load`
//! judges; that comes first.

mod set;

use std::sync::Arc;

use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1 as core;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::documents::{Document, Documents};
use super::guard;
use super::kind::{Identity, describe, identify};
use super::paths::{self, Input};
use super::problem::{ManifestError, ManifestErrors, Note, Origin, Problem};
use super::tree::{Shape, parse_json, parse_yaml};
use super::typed::{Typed, decode};
use super::{ManifestInput, PathProblem};
use crate::model::{Workload, WorkloadKind};
use crate::source::api::Findings;
use crate::source::api::convert::{self, Interner};
use set::{Set, check};

/// What manifests hold for those who run pods.
#[derive(Debug, Default)]
pub struct Objects {
    /// What makes pods, in the order of the input.
    pub workloads: Vec<Workload>,
    /// Every object as it was written, lists taken apart, in the order of the input.
    pub written: Vec<Value>,
    /// What the author should know.
    pub notes: Vec<Note>,
}

/// Reads the workloads of manifests that [`super::load`] has found to be right. Standard input is
/// not read: that was done then.
///
/// # Errors
/// Everything that is wrong with any workload.
pub fn load_objects(input: &ManifestInput) -> Result<Objects, ManifestErrors> {
    let mut reader = Reader::default();
    for found in input
        .paths
        .iter()
        .flat_map(|path| paths::expand(path, input.recursive))
    {
        match found {
            Ok(input) => {
                if let Err(error) = reader.file(&input) {
                    reader.errors.push(*error);
                }
            }
            Err(error) => reader.errors.push(error),
        }
    }
    if reader.errors.is_empty() {
        return Ok(reader.objects);
    }
    Err(ManifestErrors {
        errors: reader.errors,
        omitted: 0,
        notes: reader.objects.notes,
    })
}

#[derive(Default)]
struct Reader {
    objects: Objects,
    errors: Vec<ManifestError>,
    names: Interner,
    files: std::collections::HashSet<std::path::PathBuf>,
}

impl Reader {
    fn file(&mut self, input: &Input) -> Result<(), Box<ManifestError>> {
        let name = input.name();
        let fail = |document, problem| {
            let mut origin = Origin::file(Arc::clone(&name));
            origin.document = document;
            Box::new(ManifestError::new(origin, problem))
        };
        let Input::File(path) = input else {
            return Err(fail(None, Problem::Path(PathProblem::StdinTwice)));
        };
        let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
        if !self.files.insert(canonical) {
            return Ok(());
        }
        let file = paths::open(path).map_err(|problem| fail(None, problem))?;
        for document in Documents::new(file) {
            let document = document.map_err(|error| fail(error.document, error.problem))?;
            let values =
                values(&document).map_err(|problem| fail(Some(document.number), problem))?;
            let is_list = values.len() > 1;
            for (item, value) in (1..).zip(values) {
                let origin = Origin {
                    file: Arc::clone(&name),
                    document: Some(document.number),
                    item: is_list.then_some(item),
                };
                self.object(&origin, value);
            }
        }
        Ok(())
    }

    fn object(&mut self, origin: &Origin, mut value: Value) {
        if matches!(identify(&value, None), Ok(Identity::List(_))) {
            let mut items = value.get_mut("items").map(Value::take);
            for item in items.iter_mut().flat_map(Value::as_array_mut).flatten() {
                self.object(origin, item.take());
            }
            return;
        }
        self.objects.written.push(value.clone());
        let Some(kind) = kind_of(&value) else { return };
        let described = describe(&value, kind.as_str());
        let mut findings = Findings::default();
        let workload = match kind {
            WorkloadKind::Deployment => self.set::<apps::Deployment>(kind, value, &mut findings),
            WorkloadKind::ReplicaSet => self.set::<apps::ReplicaSet>(kind, value, &mut findings),
            WorkloadKind::StatefulSet => self.set::<apps::StatefulSet>(kind, value, &mut findings),
            WorkloadKind::DaemonSet => self.set::<apps::DaemonSet>(kind, value, &mut findings),
            // Was judged where pods are read.
            WorkloadKind::Pod => typed::<core::Pod>(value, &mut Findings::default())
                .map(|pod| self.workload(kind, Set::of_pod(pod))),
        };
        let errors = findings.errors.into_iter().map(|error| ManifestError {
            origin: origin.clone(),
            object: Some(described.clone()),
            problem: Problem::Field(error),
        });
        self.errors.extend(errors);
        let notes = findings.warnings.into_iter().map(|text| Note {
            origin: origin.clone(),
            object: Some(described.clone()),
            text,
        });
        self.objects.notes.extend(notes);
        self.objects.workloads.extend(workload);
    }

    fn set<T: DeserializeOwned + Into<Set>>(
        &mut self,
        kind: WorkloadKind,
        value: Value,
        findings: &mut Findings,
    ) -> Option<Workload> {
        let set: Set = typed::<T>(value, findings)?.into();
        check(&set, findings);
        findings.errors.is_empty().then(|| self.workload(kind, set))
    }

    fn workload(&mut self, kind: WorkloadKind, set: Set) -> Workload {
        let name = convert::object_name(&set.metadata, &mut self.names);
        let mut template = convert::pod(set.pod, &mut self.names);
        template.name = name.clone();
        Workload {
            kind,
            name,
            replicas: u32::try_from(set.replicas.unwrap_or(1)).unwrap_or(0),
            service_name: set.service_name.map(String::into_boxed_str),
            template,
        }
    }
}

/// The values of one document: its object, or the items of its list.
fn values(document: &Document) -> Result<Vec<Value>, Problem> {
    let mut items = Vec::new();
    let mut sink = |_, tree: super::tree::Tree| items.push(tree.value);
    let json = document.text.trim_start().starts_with('{');
    let frame = json
        .then(|| parse_json(&document.text, document.first_line, &mut sink).ok())
        .flatten();
    let frame = match frame {
        Some(frame) => frame,
        None => {
            guard::check(&document.text, document.first_line).map_err(Problem::Text)?;
            let shape = Shape::Document;
            parse_yaml(&document.text, document.first_line, shape, &mut sink)?
        }
    };
    match identify(&frame.value, None) {
        Ok(Identity::List(_)) => Ok(items),
        _ if frame.value.is_object() => Ok(vec![frame.value]),
        _ => Ok(Vec::new()),
    }
}

fn kind_of(value: &Value) -> Option<WorkloadKind> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    match (text("apiVersion")?, text("kind")?) {
        ("apps/v1", "Deployment") => Some(WorkloadKind::Deployment),
        ("apps/v1", "ReplicaSet") => Some(WorkloadKind::ReplicaSet),
        ("apps/v1", "StatefulSet") => Some(WorkloadKind::StatefulSet),
        ("apps/v1", "DaemonSet") => Some(WorkloadKind::DaemonSet),
        ("v1", "Pod") => Some(WorkloadKind::Pod),
        _ => None,
    }
}

fn typed<T: DeserializeOwned>(value: Value, findings: &mut Findings) -> Option<T> {
    let Typed {
        object,
        errors,
        unknown,
    } = decode::<T>(value);
    let whole = errors.is_empty();
    findings.errors.extend(errors);
    for field in unknown {
        findings.warn(format!("unknown field {field:?}"));
    }
    object.filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(text: &str) -> Result<Objects, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let input = ManifestInput {
            paths: vec![path.clone()],
            ..ManifestInput::default()
        };
        load_objects(&input).map_err(|errors| errors.to_string().replace(&path, "FILE"))
    }

    const SET: &str = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db, namespace: prod}\n\
        spec:\n  serviceName: db\n  replicas: 2\n  selector: {matchLabels: {app: db}}\n  template:\n    \
        metadata: {labels: {app: db}}\n    spec: {containers: [{name: c, ports: [{containerPort: 9042}]}]}\n";

    #[test]
    fn a_stateful_set_is_read_with_its_template() {
        let objects = load(SET).unwrap();
        let set = &objects.workloads[0];
        assert_eq!(set.kind, WorkloadKind::StatefulSet);
        assert_eq!(set.name.to_string(), "prod/db");
        assert_eq!((set.replicas, set.service_name.as_deref()), (2, Some("db")));
        assert_eq!(set.template.ports[0].port, 9042);
        assert_eq!(set.template.labels["app"], "db".into());
    }

    #[test]
    fn lists_are_taken_apart_and_other_kinds_are_kept_as_written() {
        let pod =
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[]}}"#;
        let other = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}"#;
        let list = format!(r#"{{"apiVersion":"v1","items":[{pod},{other}],"kind":"List"}}"#);
        let objects = load(&list).unwrap();
        assert_eq!(objects.workloads[0].kind, WorkloadKind::Pod);
        assert_eq!(objects.written.len(), 2);
        assert_eq!(objects.written[1]["kind"], "Secret");
    }

    #[test]
    fn what_the_api_server_would_refuse_is_refused_field_by_field() {
        let wrong = SET
            .replace("labels: {app: db}", "labels: {app: web}")
            .replace("replicas: 2", "replicas: -1")
            .replace("9042", "99999");
        let errors = load(&wrong).unwrap_err();
        assert_eq!(
            errors.lines().collect::<Vec<_>>(),
            [
                "FILE: document 1: StatefulSet prod/db: spec.replicas: Invalid value: -1: must be greater \
                 than or equal to 0",
                "FILE: document 1: StatefulSet prod/db: spec.template.metadata.labels: Invalid value: \
                 {…}: `selector` does not match template `labels`",
                "FILE: document 1: StatefulSet prod/db: \
                 spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be \
                 between 1 and 65535, inclusive",
            ]
        );
    }
}
