//! The `status` subresource of Services, for who gives load balancers their addresses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::patch;
use serde_json::{Value, json};

use super::http::{Api, parameters, status};
use super::objects::{missing, object};
use super::store::Kind;

pub(super) fn routes() -> Router<Arc<Api>> {
    let path = "/api/v1/namespaces/{namespace}/services/{name}/status";
    Router::new().route(path, patch(write))
}

/// A merge patch, refused if it was made for another version.
async fn write(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refusal) = api.admit(&uri, &headers) {
        return *refusal;
    }
    hold(&api).await;
    let Some(text) = object(&api, Kind::Service, &namespace, &name) else {
        return missing("services", &name);
    };
    let mut service: Value = serde_json::from_str(&text).expect("JSON");
    let patch: Value = serde_json::from_slice(&body).expect("JSON");
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    if version(&patch) != version(&service) {
        return status(409, "Conflict", "the object has been modified");
    }
    service["status"] = patch["status"].clone();
    let query = parameters(uri.query().unwrap_or_default());
    if let Some(manager) = query.get("fieldManager") {
        service["metadata"]["managedFields"] = json!([{
            "manager": manager, "operation": "Update", "subresource": "status",
        }]);
    }
    api.change(|store| store.put(&service));
    let stored = object(&api, Kind::Service, &namespace, &name);
    let headers = [("content-type", "application/json")];
    (headers, stored.unwrap_or_default()).into_response()
}

/// The first ones wait, if they are to.
async fn hold(api: &Api) {
    let mut holds = false;
    api.rules(|rules| {
        holds = rules.hold_status > api.holding.load(Ordering::SeqCst);
    });
    if !holds {
        return;
    }
    api.holding.fetch_add(1, Ordering::SeqCst);
    while api.rules_now().hold_status > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
