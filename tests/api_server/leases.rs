//! Leases: listed, created, replaced and deleted, with the versions by which of two writers one
//! loses.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::http::{Api, status};

type Server = State<Arc<Api>>;

pub(super) fn routes() -> Router<Arc<Api>> {
    let all = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases";
    Router::new().route(all, get(list).post(create)).route(
        &format!("{all}/{{name}}"),
        get(read).put(replace).delete(delete),
    )
}

async fn list(State(api): Server) -> Response {
    let leases: Vec<Value> = api.leases().values().cloned().collect();
    json_of(&json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList",
        "metadata": {"resourceVersion": "1"}, "items": leases,
    }))
}

async fn read(State(api): Server, Path((_, name)): Path<(String, String)>) -> Response {
    match api.leases().get(&name) {
        Some(lease) => json_of(lease),
        None => status(404, "NotFound", "no such Lease"),
    }
}

async fn create(State(api): Server, body: Bytes) -> Response {
    let lease: Value = serde_json::from_slice(&body).expect("JSON");
    let name = lease["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    if api.leases().contains_key(&name) {
        return status(409, "AlreadyExists", "it is there already");
    }
    stored(&api, name, lease)
}

async fn replace(
    State(api): Server,
    Path((_, name)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let lease: Value = serde_json::from_slice(&body).expect("JSON");
    let Some(present) = api.leases().get(&name).cloned() else {
        return status(404, "NotFound", "no such Lease");
    };
    if version(&present) != version(&lease) {
        return status(409, "Conflict", "the object has been modified");
    }
    stored(&api, name, lease)
}

async fn delete(
    State(api): Server,
    Path((_, name)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let options: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut leases = api.leases();
    let Some(present) = leases.get(&name) else {
        return status(404, "NotFound", "no such Lease");
    };
    let only = &options["preconditions"]["resourceVersion"];
    if !only.is_null() && only != version(present) {
        return status(409, "Conflict", "the object has been modified");
    }
    leases.remove(&name);
    json_of(&json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
}

fn json_of(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn version(lease: &Value) -> &Value {
    &lease["metadata"]["resourceVersion"]
}

/// Stores it as it is, with a version of its own.
pub(super) fn stored(api: &Api, name: String, mut lease: Value) -> Response {
    // The real one refuses this.
    let seconds = lease["spec"]["leaseDurationSeconds"].as_i64();
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{lease}");
    let version = api.change(|store| {
        store.version += 1;
        store.version
    });
    lease["metadata"]["resourceVersion"] = json!(version.to_string());
    api.leases().insert(name, lease.clone());
    json_of(&lease)
}
