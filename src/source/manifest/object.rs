//! One value tree into an object of the model: typed parsing, defaults, validation, conversion.
//!
//! Must not compare objects with each other; that is `collect`'s part.

use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kind::{Kind, describe};
use super::problem::{ManifestError, Note, Origin, Problem};
use super::tree::Tree;
use super::typed::{Typed, decode};
use crate::model::{EndpointSlice, NamespacedName, Node, Pod, Service};
use crate::source::api::convert::{self, Interner};
use crate::source::api::{FieldError, Findings, Path, Reason, defaults, validate};

/// What is said of a duplicate key.
pub(super) const TWICE: &str = "the key occurs twice in its mapping";

/// An object that was read.
#[derive(Debug)]
pub(super) enum Object {
    Service(Box<Service>),
    /// A slice that belongs to a Service.
    Slice(EndpointSlice),
    /// A slice that nothing uses.
    IgnoredSlice(NamespacedName),
    /// An Endpoints object as the slices that mirror it.
    Endpoints(NamespacedName, Vec<EndpointSlice>),
    Node(Node),
    Pod(Box<Pod>),
    Namespace(Arc<str>),
}

impl Object {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::Slice(_) | Self::IgnoredSlice(_) => Kind::EndpointSlice,
            Self::Endpoints(..) => Kind::Endpoints,
            Self::Node(_) => Kind::Node,
            Self::Pod(_) => Kind::Pod,
            Self::Namespace(_) => Kind::Namespace,
        }
    }

    /// Namespace and name; objects outside of namespaces have an empty one.
    pub(super) fn name(&self) -> NamespacedName {
        match self {
            Self::Service(service) => service.name.clone(),
            Self::Slice(slice) => slice.name.clone(),
            Self::IgnoredSlice(name) | Self::Endpoints(name, _) => name.clone(),
            Self::Pod(pod) => pod.name.clone(),
            Self::Node(node) => NamespacedName::new("", Arc::clone(&node.name)),
            Self::Namespace(name) => NamespacedName::new("", Arc::clone(name)),
        }
    }
}

/// What became of one object.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) object: Option<Object>,
    pub(super) errors: Vec<ManifestError>,
    pub(super) notes: Vec<Note>,
}

/// Reads objects of the kinds that are read.
pub(super) struct ObjectReader<'a> {
    pub(super) strict: bool,
    pub(super) names: &'a mut Interner,
}

impl ObjectReader<'_> {
    /// Reads one object of a known kind.
    pub(super) fn read(&mut self, kind: Kind, tree: Tree, origin: &Origin) -> Outcome {
        let described = describe(&tree.value, kind.name());
        let mut findings = Findings::new(self.strict);
        let object = match kind {
            Kind::Service => self.service(tree, &mut findings),
            Kind::EndpointSlice => self.slice(tree, &mut findings),
            Kind::Endpoints => self.endpoints(tree, &mut findings),
            Kind::Node => self.node(tree, &mut findings),
            Kind::Pod => self.pod(tree, &mut findings),
            Kind::Namespace => self.namespace(tree, &mut findings),
        };
        let error = |error: FieldError| ManifestError {
            origin: origin.clone(),
            object: Some(described.clone()),
            problem: Problem::Field(error),
        };
        let note = |text: String| Note {
            origin: origin.clone(),
            object: Some(described.clone()),
            text,
        };
        Outcome {
            object: object.filter(|_| findings.errors.is_empty()),
            errors: findings.errors.into_iter().map(error).collect(),
            notes: findings.warnings.into_iter().map(note).collect(),
        }
    }

    fn service(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let mut object: core::Service = typed(tree, findings)?;
        defaults::service(&mut object);
        checked(findings, |findings| validate::service(&object, findings));
        let usable = findings.errors.is_empty();
        usable.then(|| Object::Service(Box::new(convert::service(object, self.names))))
    }

    fn slice(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let mut object: discovery::EndpointSlice = typed(tree, findings)?;
        defaults::endpoint_slice(&mut object);
        checked(findings, |findings| {
            validate::endpoint_slice(&object, findings);
        });
        if !findings.errors.is_empty() {
            return None;
        }
        let name = convert::object_name(&object.metadata, self.names);
        match convert::endpoint_slice(object, self.names) {
            Ok(slice) => Some(Object::Slice(slice)),
            Err(reason) => {
                findings.warn(reason.to_string());
                Some(Object::IgnoredSlice(name))
            }
        }
    }

    fn endpoints(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let mut object: core::Endpoints = typed(tree, findings)?;
        defaults::endpoints(&mut object);
        checked(findings, |findings| validate::endpoints(&object, findings));
        let name = convert::object_name(&object.metadata, self.names);
        let usable = findings.errors.is_empty();
        usable.then(|| Object::Endpoints(name, convert::endpoints(object, self.names)))
    }

    fn node(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let object: core::Node = typed(tree, findings)?;
        checked(findings, |findings| validate::node(&object, findings));
        Some(Object::Node(convert::node(&object, self.names)))
    }

    fn pod(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let mut object: core::Pod = typed(tree, findings)?;
        defaults::pod(&mut object);
        checked(findings, |findings| validate::pod(&object, findings));
        Some(Object::Pod(Box::new(convert::pod(object, self.names))))
    }

    fn namespace(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let object: core::Namespace = typed(tree, findings)?;
        checked(findings, |findings| validate::namespace(&object, findings));
        Some(Object::Namespace(
            self.names.intern(object.metadata.name.as_deref()?),
        ))
    }
}

/// Fields on whose value the meaning of others depends: when one of them has the wrong type, the
/// rest of the object cannot be judged.
const DECIDING: [&str; 9] = [
    "metadata",
    "spec",
    "spec.type",
    "spec.clusterIP",
    "spec.clusterIPs",
    "spec.externalIPs",
    "spec.externalTrafficPolicy",
    "spec.sessionAffinity",
    "addressType",
];

/// Parses the tree and records what is wrong with its keys and types.
///
/// `None` if there is nothing to go on with.
fn typed<T>(mut tree: Tree, findings: &mut Findings) -> Option<T>
where
    T: DeserializeOwned + Metadata<Ty = ObjectMeta>,
{
    for path in tree.duplicates.drain(..) {
        findings.errors.push(FieldError {
            field: path,
            reason: Reason::Other(TWICE.to_owned()),
        });
    }
    if let Some(Value::Object(metadata)) = tree.value.get_mut("metadata") {
        // The API server's own book-keeping: large, and nothing we read.
        metadata.remove("managedFields");
    }
    let Typed {
        object,
        errors,
        unknown,
    } = decode::<T>(tree.value);
    for field in unknown {
        if findings.strict {
            findings.errors.push(FieldError {
                field,
                reason: Reason::Other("unknown field".to_owned()),
            });
        } else {
            findings.warn(format!("unknown field {field:?}"));
        }
    }
    let judgeable = !errors
        .iter()
        .any(|error| DECIDING.contains(&error.field.as_str()));
    findings.errors.extend(errors);
    let object = object?;
    if object.metadata().name.as_ref().is_none_or(String::is_empty)
        && !findings
            .errors
            .iter()
            .any(|error| error.field.starts_with("metadata"))
    {
        let detail = "name or generateName is required";
        findings.required(&Path::new("metadata").child("name"), detail);
    }
    judgeable.then_some(object)
}

/// Validates, leaving out what only follows from a value that has been reported already.
fn checked(findings: &mut Findings, validate: impl FnOnce(&mut Findings)) {
    let reported: Vec<String> = findings
        .errors
        .iter()
        .map(|error| error.field.clone())
        .collect();
    validate(findings);
    if reported.is_empty() {
        return;
    }
    let mut number = 0;
    findings.errors.retain(|error| {
        number += 1;
        number <= reported.len() || !reported.iter().any(|field| concerns(&error.field, field))
    });
}

/// The error at `field` may only be there because the value at `reported` was taken out.
fn concerns(field: &str, reported: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    inside(reported, field) || inside(field, reported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_around_a_reported_field_are_its_echo() {
        assert!(concerns("spec.ports[0].port", "spec.ports[0].port"));
        assert!(concerns("spec.ports", "spec.ports[0]"));
        assert!(concerns("spec.ports[0].port", "spec.ports[0]"));
        assert!(!concerns("spec.ports[1]", "spec.ports[0]"));
        assert!(!concerns("spec.portsx", "spec.ports"));
    }
}
