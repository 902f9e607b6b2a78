//! Which kinds are read, and what a document says it is.
//!
//! Owns the dispatch by `apiVersion` and `kind`. Must not look at anything else of an object but
//! its name.

use serde_json::Value;

use crate::source::api::{Reason, shorten};

/// A kind that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Service,
    EndpointSlice,
    Endpoints,
    Node,
    Pod,
    Namespace,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Service,
        Self::EndpointSlice,
        Self::Endpoints,
        Self::Node,
        Self::Pod,
        Self::Namespace,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Namespace => "Namespace",
        }
    }

    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io/v1",
            _ => "v1",
        }
    }
}

/// What is said after the name of an object whose kind is not read.
pub(super) const KINDS_READ: &str =
    "only Services, EndpointSlices, Endpoints, Nodes, Pods and Namespaces are read";

/// What a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// An object that is read.
    Known(Kind),
    /// A list; its items may leave out their kind where the list names it (`ServiceList`).
    List(Option<Kind>),
    /// A kind that is none of our business.
    Other(String),
}

/// Field and reason of each thing wrong with the identity of a document.
pub(super) type IdentityErrors = Vec<(&'static str, Reason)>;

/// Reads `apiVersion` and `kind`; `of_list` is the kind that a typed list gives to items that do
/// not say.
pub(super) fn identify(object: &Value, of_list: Option<Kind>) -> Result<Identity, IdentityErrors> {
    let mut errors = Vec::new();
    let mut text = |field: &'static str, default: Option<&'static str>| match object.get(field) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        None | Some(Value::Null | Value::String(_)) => match default {
            Some(default) => default.to_owned(),
            None => {
                errors.push((field, Reason::Required(String::new())));
                String::new()
            }
        },
        Some(other) => {
            errors.push((
                field,
                Reason::Invalid(other.into(), "must be a string".to_owned()),
            ));
            String::new()
        }
    };
    let api_version = text("apiVersion", of_list.map(Kind::api_version));
    let kind = text("kind", of_list.map(Kind::name));
    if !errors.is_empty() {
        return Err(errors);
    }
    let listed = kind
        .strip_suffix("List")
        .filter(|_| object.get("items").is_some());
    if kind == "List" || listed.is_some() {
        let item_kind = Kind::ALL.into_iter().find(|k| Some(k.name()) == listed);
        return Ok(Identity::List(item_kind));
    }
    known_kind(&kind, &api_version).map_err(|error| vec![error])
}

fn known_kind(kind: &str, api_version: &str) -> Result<Identity, (&'static str, Reason)> {
    if let Some(known) = Kind::ALL.into_iter().find(|known| known.name() == kind) {
        if api_version == known.api_version() {
            return Ok(Identity::Known(known));
        }
        if !is_builtin_group(api_version) {
            // Another group's kind of the same name, such as Knative's Service.
            return Ok(Identity::Other(kind.to_owned()));
        }
        let supported = vec![known.api_version().to_owned()];
        return Err((
            "apiVersion",
            Reason::NotSupported(api_version.into(), supported),
        ));
    }
    // A kind with wrong capitals is a slip, not another kind.
    match Kind::ALL
        .into_iter()
        .find(|known| known.name().eq_ignore_ascii_case(kind))
    {
        Some(meant) if is_builtin_group(api_version) => {
            let supported = vec![meant.name().to_owned()];
            Err(("kind", Reason::NotSupported(kind.into(), supported)))
        }
        _ => Ok(Identity::Other(kind.to_owned())),
    }
}

/// Groups of Kubernetes itself: without a dot, or under `k8s.io`.
fn is_builtin_group(api_version: &str) -> bool {
    match api_version.split_once('/') {
        None => true,
        Some((group, _)) => !group.contains('.') || group.ends_with(".k8s.io"),
    }
}

/// Common kinds that live outside of namespaces, so that notes name them right.
const CLUSTER_SCOPED: [&str; 16] = [
    "APIService",
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IPAddress",
    "IngressClass",
    "Kustomization",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "ServiceCIDR",
    "StorageClass",
    "ValidatingWebhookConfiguration",
];

/// `Service default/web`, `Node n0`, or the kind alone where there is no name.
pub(super) fn describe(object: &Value, kind: &str) -> String {
    let kind = shorten(kind);
    let metadata = |field: &str| {
        let text = object.get("metadata")?.get(field)?.as_str()?;
        (!text.is_empty()).then_some(text)
    };
    match metadata("name") {
        None => kind.into_owned(),
        Some(name) if CLUSTER_SCOPED.contains(&kind.as_ref()) => {
            format!("{kind} {}", shorten(name))
        }
        Some(name) => {
            let namespace = metadata("namespace").unwrap_or("default");
            format!("{kind} {}/{}", shorten(namespace), shorten(name))
        }
    }
}

/// What a value is, for those who expected an object.
pub(super) fn value_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn identity(api_version: &str, kind: &str) -> Result<Identity, IdentityErrors> {
        identify(
            &json!({"apiVersion": api_version, "kind": kind, "items": []}),
            None,
        )
    }

    #[test]
    fn kinds_of_other_groups_are_other_kinds() {
        assert_eq!(
            identity("v1", "Service"),
            Ok(Identity::Known(Kind::Service))
        );
        assert_eq!(
            identity("serving.knative.dev/v1", "Service"),
            Ok(Identity::Other("Service".to_owned()))
        );
        assert!(identity("discovery.k8s.io/v1beta1", "EndpointSlice").is_err());
        assert!(identity("apps/v1", "Service").is_err());
        assert!(identity("v1", "service").is_err());
        assert_eq!(
            identity("apps/v1", "Deployment"),
            Ok(Identity::Other("Deployment".to_owned()))
        );
    }

    #[test]
    fn typed_lists_name_the_kind_of_their_items() {
        assert_eq!(identity("v1", "List"), Ok(Identity::List(None)));
        assert_eq!(
            identity("v1", "ServiceList"),
            Ok(Identity::List(Some(Kind::Service)))
        );
        assert_eq!(
            identity("apps/v1", "DeploymentList"),
            Ok(Identity::List(None))
        );
        let item = json!({"metadata": {"name": "web"}});
        assert_eq!(
            identify(&item, Some(Kind::Service)),
            Ok(Identity::Known(Kind::Service))
        );
        assert_eq!(identify(&item, None).unwrap_err().len(), 2);
    }

    #[test]
    fn objects_are_named_with_their_namespace() {
        let object = json!({"metadata": {"name": "x"}});
        assert_eq!(describe(&object, "Service"), "Service default/x");
        assert_eq!(describe(&object, "Node"), "Node x");
        assert_eq!(describe(&json!({}), "Pod"), "Pod");
    }
}
