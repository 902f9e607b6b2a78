//! One value tree into an object of the model: typed parsing, defaults, validation, conversion.
//!
//! Must not compare objects with each other; that is `collect`'s part.

use std::sync::Arc;

use k8s_openapi::Metadata;
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
            object,
            errors: findings.errors.into_iter().map(error).collect(),
            notes: findings.warnings.into_iter().map(note).collect(),
        }
    }

    fn service(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let object = checked(tree, findings, defaults::service, validate::service)?;
        Some(Object::Service(Box::new(convert::service(
            object, self.names,
        ))))
    }

    fn slice(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let object = checked(
            tree,
            findings,
            defaults::endpoint_slice,
            validate::endpoint_slice,
        )?;
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
        let object = checked(tree, findings, defaults::endpoints, validate::endpoints)?;
        let name = convert::object_name(&object.metadata, self.names);
        Some(Object::Endpoints(
            name,
            convert::endpoints(object, self.names),
        ))
    }

    fn node(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let object = checked(tree, findings, |_| {}, validate::node)?;
        Some(Object::Node(convert::node(&object, self.names)))
    }

    fn pod(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let object = checked(tree, findings, defaults::pod, validate::pod)?;
        Some(Object::Pod(Box::new(convert::pod(object, self.names))))
    }

    fn namespace(&mut self, tree: Tree, findings: &mut Findings) -> Option<Object> {
        let object = checked(tree, findings, |_| {}, validate::namespace)?;
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

/// Parses the tree, fills in defaults and validates; `None` if anything was found wrong.
fn checked<T>(
    mut tree: Tree,
    findings: &mut Findings,
    defaults: fn(&mut T),
    validate: fn(&T, &mut Findings),
) -> Option<T>
where
    T: DeserializeOwned + Metadata<Ty = ObjectMeta>,
{
    duplicates(&mut tree, findings);
    if let Some(Value::Object(metadata)) = tree.value.get_mut("metadata") {
        // The API server's own book-keeping: large, and nothing we read.
        metadata.remove("managedFields");
    }
    let Typed {
        object,
        errors,
        unknown,
    } = decode::<T>(tree.value);
    unknown_fields(unknown, findings);
    let wrong: Vec<String> = errors.iter().map(|error| error.field.clone()).collect();
    findings.errors.extend(errors);
    let mut object = object?;
    if wrong.iter().any(|field| DECIDING.contains(&field.as_str())) {
        return None;
    }
    let found_before = findings.errors.len();
    if object.metadata().name.as_ref().is_none_or(String::is_empty) {
        let detail = "name or generateName is required";
        findings.required(&Path::new("metadata").child("name"), detail);
    }
    defaults(&mut object);
    validate(&object, findings);
    // What follows only from a value that was taken out has been reported already.
    let mut number = 0;
    findings.errors.retain(|error| {
        number += 1;
        number <= found_before || !wrong.iter().any(|field| concerns(&error.field, field))
    });
    findings.errors.is_empty().then_some(object)
}

fn duplicates(tree: &mut Tree, findings: &mut Findings) {
    for field in tree.duplicates.drain(..) {
        findings.errors.push(FieldError {
            field,
            reason: Reason::Other(TWICE.to_owned()),
        });
    }
}

fn unknown_fields(unknown: Vec<String>, findings: &mut Findings) {
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
