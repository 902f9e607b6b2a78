//! Objects, versions, and the log of what happened to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

/// Kinds that the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Service,
    EndpointSlice,
    Node,
    ServiceCidr,
    Pod,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    pub(super) fn of(object: &Value) -> Self {
        match object["kind"].as_str() {
            Some("Service") => Self::Service,
            Some("EndpointSlice") => Self::EndpointSlice,
            Some("Node") => Self::Node,
            Some("ServiceCIDR") => Self::ServiceCidr,
            Some("Pod") => Self::Pod,
            Some("Deployment") => Self::Deployment,
            Some("ReplicaSet") => Self::ReplicaSet,
            Some("StatefulSet") => Self::StatefulSet,
            Some("DaemonSet") => Self::DaemonSet,
            other => panic!("kind {other:?}"),
        }
    }

    /// `apiVersion` and `kind`.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Service => ("v1", "Service"),
            Self::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice"),
            Self::Node => ("v1", "Node"),
            Self::ServiceCidr => ("networking.k8s.io/v1", "ServiceCIDR"),
            Self::Pod => ("v1", "Pod"),
            Self::Deployment => ("apps/v1", "Deployment"),
            Self::ReplicaSet => ("apps/v1", "ReplicaSet"),
            Self::StatefulSet => ("apps/v1", "StatefulSet"),
            Self::DaemonSet => ("apps/v1", "DaemonSet"),
        }
    }
}

/// `namespace/name`.
pub(super) type Key = String;

/// An object at a version.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) text: String,
    name: String,
    labels: Vec<String>,
    cluster_ip: Option<String>,
    service_type: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// An object before and after.
    Changed(Option<Arc<Stored>>, Option<Arc<Stored>>),
    /// A line to be sent as it is.
    Line(String),
}

#[derive(Clone, Debug)]
pub(super) struct Happened {
    pub(super) version: u64,
    pub(super) kind: Kind,
    pub(super) what: What,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) version: u64,
    pub(super) objects: BTreeMap<Kind, BTreeMap<Key, Arc<Stored>>>,
    pub(super) log: Vec<Happened>,
    /// Versions up to this one are forgotten.
    pub(super) compacted: u64,
}

impl Store {
    pub(super) fn put(&mut self, object: &Value) {
        self.version += 1;
        let kind = Kind::of(object);
        let mut object = object.clone();
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.version.to_string());
        metadata["uid"] = json!(format!("uid-{}", self.version));
        // What a real server sends along and nobody here needs.
        if metadata["managedFields"].is_null() {
            metadata["managedFields"] = json!([{
                "manager": "test", "operation": "Update", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}},
            }]);
        }
        let labels = metadata["labels"].as_object();
        let stored = Arc::new(Stored {
            name: metadata["name"].as_str().unwrap_or_default().to_owned(),
            labels: labels
                .into_iter()
                .flatten()
                .map(|(key, _)| key.clone())
                .collect(),
            cluster_ip: object["spec"]["clusterIP"].as_str().map(str::to_owned),
            service_type: object["spec"]["type"].as_str().map(str::to_owned),
            text: object.to_string(),
        });
        let key = key(&object);
        let objects = self.objects.entry(kind).or_default();
        let before = objects.insert(key, Arc::clone(&stored));
        self.happened(kind, What::Changed(before, Some(stored)));
    }

    pub(super) fn delete(&mut self, kind: Kind, namespace: &str, name: &str) -> bool {
        let objects = self.objects.entry(kind).or_default();
        let Some(before) = objects.remove(&format!("{namespace}/{name}")) else {
            return false;
        };
        self.version += 1;
        self.happened(kind, What::Changed(Some(before), None));
        true
    }

    pub(super) fn replace(&mut self, objects: &[Value]) {
        for kind in [Kind::Service, Kind::EndpointSlice] {
            let wanted: Vec<&Value> = objects.iter().filter(|o| Kind::of(o) == kind).collect();
            let present: Vec<Key> = self
                .objects
                .entry(kind)
                .or_default()
                .keys()
                .cloned()
                .collect();
            for gone in present {
                if !wanted.iter().any(|object| key(object) == gone) {
                    let (namespace, name) = gone.split_once('/').expect("a key");
                    self.delete(kind, namespace, name);
                }
            }
            for object in wanted {
                if !self.has(kind, object) {
                    self.put(object);
                }
            }
        }
    }

    /// Has it as it is, but for what the server itself adds.
    fn has(&self, kind: Kind, object: &Value) -> bool {
        let present = self
            .objects
            .get(&kind)
            .and_then(|all| all.get(&key(object)));
        present.is_some_and(|present| {
            let mut present: Value = serde_json::from_str(&present.text).expect("JSON");
            if let Some(metadata) = present["metadata"].as_object_mut() {
                for added in ["resourceVersion", "uid", "managedFields"] {
                    metadata.remove(added);
                }
            }
            present == *object
        })
    }

    pub(super) fn compact(&mut self) {
        // A version of its own, so that everything before is older.
        self.version += 1;
        self.compacted = self.version;
        self.log.clear();
    }

    pub(super) fn inject(&mut self, kind: Kind, line: &str) {
        self.version += 1;
        self.happened(kind, What::Line(line.to_owned()));
    }

    fn happened(&mut self, kind: Kind, what: What) {
        let version = self.version;
        self.log.push(Happened {
            version,
            kind,
            what,
        });
    }
}

fn key(object: &Value) -> Key {
    let metadata = &object["metadata"];
    let part = |name: &str| metadata[name].as_str().unwrap_or_default();
    format!("{}/{}", part("namespace"), part("name"))
}

/// The selectors of a request, those of them that proxies use.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors {
    pub(super) without_label: Option<String>,
    pub(super) field: Option<String>,
}

impl Selectors {
    pub(super) fn select(&self, object: &Stored) -> bool {
        if let Some(label) = &self.without_label
            && object.labels.contains(label)
        {
            return false;
        }
        match self.field.as_deref() {
            None => true,
            Some("spec.clusterIP!=None") => object.cluster_ip.as_deref() != Some("None"),
            Some(field) => match field.split_once('=') {
                Some(("metadata.name", name)) => object.name == name,
                Some(("spec.type", name)) => object.service_type.as_deref() == Some(name),
                _ => panic!("field selector {field}"),
            },
        }
    }
}
