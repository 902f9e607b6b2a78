//! `metadata`, common to all kinds.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::source::api::{Findings, Path, Reason, names};

/// The most bytes that keys and values of annotations may add up to.
const MAX_ANNOTATION_BYTES: usize = 256 << 10;

/// A name format: what is wrong with a name, nothing if it is well-formed.
pub(super) type NameFormat = fn(&str) -> Vec<String>;

/// Checks the metadata of an object that lives in a namespace.
pub(super) fn namespaced(metadata: &ObjectMeta, format: NameFormat, findings: &mut Findings) {
    let path = Path::new("metadata");
    if let Some(namespace) = &metadata.namespace {
        let errors = names::dns1123_label(namespace);
        findings.invalid_each(&path.child("namespace"), namespace, errors);
    }
    common(metadata, format, &path, findings);
}

/// Checks the metadata of an object that lives outside of namespaces.
pub(super) fn cluster_scoped(metadata: &ObjectMeta, format: NameFormat, findings: &mut Findings) {
    let path = Path::new("metadata");
    if metadata
        .namespace
        .as_ref()
        .is_some_and(|namespace| !namespace.is_empty())
    {
        findings.forbidden(&path.child("namespace"), "not allowed on this type");
    }
    common(metadata, format, &path, findings);
}

/// Names are required too, but that was said where the object was read.
fn common(metadata: &ObjectMeta, format: NameFormat, path: &Path<'_>, findings: &mut Findings) {
    if let Some(name) = metadata.name.as_deref().filter(|name| !name.is_empty()) {
        findings.invalid_each(&path.child("name"), name, format(name));
    }
    if let Some(map) = &metadata.labels {
        labels(map, &path.child("labels"), findings);
    }
    let Some(annotations) = &metadata.annotations else {
        return;
    };
    let path = path.child("annotations");
    for key in annotations.keys() {
        // Upper case is allowed in the prefix of an annotation.
        let errors = names::qualified_name(&key.to_lowercase());
        findings.invalid_each(&path, key, errors);
    }
    let bytes: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > MAX_ANNOTATION_BYTES {
        let detail = format!("may not be more than {MAX_ANNOTATION_BYTES} bytes");
        findings.push(&path, Reason::TooLong(detail));
    }
}

/// Checks labels, or the equality selector that is made of them.
pub(super) fn labels(map: &BTreeMap<String, String>, path: &Path<'_>, findings: &mut Findings) {
    for (key, value) in map {
        findings.invalid_each(path, key, names::qualified_name(key));
        findings.invalid_each(&path.key(key), value, names::label_value(value));
    }
}

/// Checks a Namespace.
pub fn namespace(object: &Namespace, findings: &mut Findings) {
    cluster_scoped(&object.metadata, names::dns1123_label, findings);
}
