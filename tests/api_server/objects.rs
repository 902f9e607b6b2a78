//! Single objects, and lists of one namespace by labels: what `kubectl get` asks for.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::http::{Api, parameters, status};
use super::store::Kind;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Where the kinds are that have a namespace.
const KINDS: [(&str, &str, Kind); 7] = [
    ("/api/v1", "services", Kind::Service),
    ("/api/v1", "pods", Kind::Pod),
    (
        "/apis/discovery.k8s.io/v1",
        "endpointslices",
        Kind::EndpointSlice,
    ),
    ("/apis/apps/v1", "deployments", Kind::Deployment),
    ("/apis/apps/v1", "replicasets", Kind::ReplicaSet),
    ("/apis/apps/v1", "statefulsets", Kind::StatefulSet),
    ("/apis/apps/v1", "daemonsets", Kind::DaemonSet),
];

pub(super) fn routes() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for (base, plural, kind) in KINDS {
        let all = format!("{base}/namespaces/{{ns}}/{plural}");
        let one = format!("{all}/{{name}}");
        router = router
            .route(
                &all,
                get(
                    move |State(api): State<Arc<Api>>,
                          Path(ns): Path<String>,
                          uri: Uri,
                          query: RawQuery,
                          headers: HeaderMap| async move {
                        let query = query.0.unwrap_or_default();
                        refused(&api, kind, &uri, &headers)
                            .unwrap_or_else(|| list(&api, kind, &ns, &query))
                    },
                ),
            )
            .route(
                &one,
                get(
                    move |State(api): State<Arc<Api>>,
                          Path((ns, name)): Path<(String, String)>,
                          uri: Uri,
                          headers: HeaderMap| async move {
                        refused(&api, kind, &uri, &headers).unwrap_or_else(|| {
                            object(&api, kind, &ns, &name).map_or_else(
                                || missing(plural, &name),
                                |text| (JSON, text).into_response(),
                            )
                        })
                    },
                ),
            );
    }
    router
}

fn refused(api: &Api, kind: Kind, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    match api.admit(uri, headers) {
        Err(refusal) => Some(*refusal),
        Ok(rules) => {
            let (code, message) = rules.refuse.get(&kind)?;
            Some(status(*code, "Refused", message))
        }
    }
}

/// The text of an object.
pub(super) fn object(api: &Api, kind: Kind, namespace: &str, name: &str) -> Option<String> {
    let store = api.store();
    let objects = store.objects.get(&kind)?;
    Some(objects.get(&format!("{namespace}/{name}"))?.text.clone())
}

/// As a server says that there is no such object.
pub(super) fn missing(plural: &str, name: &str) -> Response {
    status(404, "NotFound", &format!("{plural} \"{name}\" not found"))
}

fn list(api: &Api, kind: Kind, namespace: &str, query: &str) -> Response {
    let query = parameters(query);
    let wanted = query.get("labelSelector").map_or("", String::as_str);
    let prefix = format!("{namespace}/");
    let store = api.store();
    let inside = store.objects.get(&kind).into_iter().flatten();
    let inside = inside.filter(|(key, _)| key.starts_with(&prefix));
    let items: Vec<Value> = inside
        .map(|(_, object)| serde_json::from_str(&object.text).unwrap())
        .filter(|object: &Value| has_labels(object, wanted))
        .collect();
    let (api_version, name) = kind.names();
    let body = json!({
        "kind": format!("{name}List"), "apiVersion": api_version,
        "metadata": {"resourceVersion": store.version.to_string()}, "items": items,
    });
    (JSON, body.to_string()).into_response()
}

/// `a=b,c=d`, the form that is used here.
fn has_labels(object: &Value, wanted: &str) -> bool {
    let labels = &object["metadata"]["labels"];
    let mut pairs = wanted.split(',').filter(|pair| !pair.is_empty());
    pairs.all(|pair| {
        let (key, value) = pair.split_once('=').expect("a label and its value");
        labels[key] == value
    })
}
