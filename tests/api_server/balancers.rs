//! The `status` subresource of Services, for who gives load balancers their addresses.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::patch;
use serde_json::Value;

use super::http::{Api, status};
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
    body: Bytes,
) -> Response {
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
    api.change(|store| store.put(&service));
    let stored = object(&api, Kind::Service, &namespace, &name);
    let headers = [("content-type", "application/json")];
    (headers, stored.unwrap_or_default()).into_response()
}
