//! Requests over HTTP, and lists, as kube-apiserver answers them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::store::{Kind, Selectors, Store};
use super::watches::watch_answer;
use super::{objects, tunnel};

/// How the server answers.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// It streams lists (`WatchList`).
    pub(crate) streams_lists: bool,
    /// Time between bookmarks; a real server takes a minute.
    pub(crate) bookmarks: Duration,
    /// Versions that are gone are an HTTP error rather than an event.
    pub(crate) gone_as_http: bool,
    /// Requests for a kind get this answer instead: status code and message.
    pub(crate) refuse: BTreeMap<Kind, (u16, String)>,
    /// The bearer token that is asked for.
    pub(crate) token: Option<String>,
    /// Pages are of versions that are forgotten at once.
    pub(crate) pages_expire: bool,
    /// The end of a streamed list is never said, as servers do that do not know the parameter.
    pub(crate) endless_lists: bool,
    /// Nobody may write Events.
    pub(crate) events_forbidden: bool,
    /// Watches of these kinds hear nothing for now.
    pub(crate) quiet: BTreeSet<Kind>,
    /// So many writes of the status of a Service wait before they are looked at, until this is
    /// nothing again.
    pub(crate) hold_status: usize,
    /// Requests to forward ports get this answer instead: status code and message.
    pub(crate) refuse_forwarding: Option<(u16, String)>,
}

/// What was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Path and query of every request, but for Events.
    pub(crate) requests: Vec<String>,
    /// Event objects.
    pub(crate) events: Vec<Value>,
}

pub(super) struct Api {
    store: Mutex<Store>,
    rules: Mutex<Rules>,
    seen: Mutex<Seen>,
    leases: Mutex<BTreeMap<String, Value>>,
    /// Writes of a status that were held up.
    pub(super) holding: AtomicUsize,
    /// The version of the store, for watches.
    pub(super) version: watch::Sender<u64>,
    /// Network namespaces of pods that run, by name.
    pub(super) running: Mutex<HashMap<String, PathBuf>>,
}

impl Api {
    pub(super) fn new(store: Store) -> Self {
        let rules = Rules {
            streams_lists: true,
            bookmarks: Duration::from_secs(1),
            gone_as_http: false,
            refuse: BTreeMap::new(),
            token: None,
            pages_expire: false,
            endless_lists: false,
            events_forbidden: false,
            quiet: BTreeSet::new(),
            hold_status: 0,
            refuse_forwarding: None,
        };
        Self {
            store: Mutex::new(store),
            rules: Mutex::new(rules),
            seen: Mutex::default(),
            leases: Mutex::default(),
            holding: AtomicUsize::new(0),
            version: watch::channel(0).0,
            running: Mutex::default(),
        }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let value = change(&mut store);
        self.version.send_replace(store.version);
        value
    }

    pub(super) fn rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock().unwrap());
        // Watches look again.
        self.version.send_modify(|_| {});
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// By name.
    pub(super) fn leases(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.leases.lock().unwrap()
    }

    /// Notes a request, and lets it pass if it has the token that is asked for.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<Rules, Box<Response>> {
        self.seen.lock().unwrap().requests.push(uri.to_string());
        let rules = self.rules_now();
        let given = headers.get("authorization");
        let given = given.and_then(|value| value.to_str().ok());
        match &rules.token {
            Some(token) if given != Some(&format!("Bearer {token}")) => {
                Err(Box::new(status(401, "Unauthorized", "Unauthorized")))
            }
            _ => Ok(rules),
        }
    }

    pub(super) fn rules_now(&self) -> Rules {
        self.rules.lock().unwrap().clone()
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }
}

/// Serves on a port of its own.
pub(super) async fn serve(api: Arc<Api>) -> SocketAddr {
    let of = |kind: Kind| {
        get(
            move |State(api): State<Arc<Api>>, uri: Uri, query: RawQuery, headers: HeaderMap| async move {
                answer(&api, kind, &uri, &query.0.unwrap_or_default(), &headers)
            },
        )
    };
    let router = Router::new()
        .route("/api/v1/services", of(Kind::Service))
        .route("/api/v1/nodes", of(Kind::Node))
        .route(
            "/apis/discovery.k8s.io/v1/endpointslices",
            of(Kind::EndpointSlice),
        )
        .route(
            "/apis/networking.k8s.io/v1/servicecidrs",
            of(Kind::ServiceCidr),
        )
        .route("/apis/events.k8s.io/v1/namespaces/{ns}/events", post(event))
        .merge(super::leases::routes())
        .merge(super::balancers::routes())
        .merge(objects::routes())
        .merge(tunnel::routes())
        .with_state(api);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn event(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    if api.rules_now().events_forbidden {
        return status(403, "Forbidden", "events is forbidden");
    }
    let event: Value = serde_json::from_slice(&body).expect("JSON");
    api.seen.lock().unwrap().events.push(event.clone());
    (StatusCode::CREATED, event.to_string()).into_response()
}

fn answer(api: &Arc<Api>, kind: Kind, uri: &Uri, query: &str, headers: &HeaderMap) -> Response {
    let rules = match api.admit(uri, headers) {
        Ok(rules) => rules,
        Err(refusal) => return *refusal,
    };
    if let Some((code, message)) = rules.refuse.get(&kind) {
        return status(*code, "Refused", message);
    }
    let query = parameters(query);
    let get = |name: &str| query.get(name).map(String::as_str);
    let without_label = get("labelSelector").and_then(|text| text.strip_prefix('!'));
    let selectors = Selectors {
        without_label: without_label.map(str::to_owned),
        field: get("fieldSelector").map(str::to_owned),
    };
    if get("watch") == Some("true") {
        watch_answer(api, kind, selectors, &query, &rules)
    } else {
        list(api, kind, &selectors, &query, &rules)
    }
}

pub(super) fn parameters(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            if let (b'%', [high, low, after @ ..]) = (first, after) {
                let hex = String::from_utf8(vec![*high, *low]).unwrap();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
                rest = after;
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = status_object(code, reason, message).to_string();
    let code = StatusCode::from_u16(code).unwrap();
    (code, [("content-type", "application/json")], body).into_response()
}

pub(super) fn status_object(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

pub(super) const GONE: &str = "too old resource version";

fn list(
    api: &Api,
    kind: Kind,
    selectors: &Selectors,
    query: &HashMap<String, String>,
    rules: &Rules,
) -> Response {
    let store = api.store();
    let limit: usize = query
        .get("limit")
        .map_or(usize::MAX, |text| text.parse().unwrap());
    let mut version = store.version;
    let mut after = String::new();
    if let Some(token) = query.get("continue") {
        let (at, key) = token.split_once(' ').expect("a token of ours");
        version = at.parse().unwrap();
        if version < store.compacted || rules.pages_expire {
            return status(410, "Expired", "The provided continue parameter is too old");
        }
        after = key.to_owned();
    }
    let empty = BTreeMap::new();
    let objects = store.objects.get(&kind).unwrap_or(&empty);
    let mut selected = objects
        .iter()
        .filter(|(key, object)| **key > after && selectors.select(object))
        .peekable();
    let mut items = Vec::new();
    let mut last = String::new();
    while items.len() < limit
        && let Some((key, object)) = selected.next()
    {
        items.push(object.text.as_str());
        last.clone_from(key);
    }
    let (api_version, name) = kind.names();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if selected.peek().is_some() {
        metadata["continue"] = json!(format!("{version} {last}"));
    }
    let body = format!(
        "{{\"kind\":\"{name}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\
         \"items\":[{}]}}",
        items.join(",")
    );
    ([("content-type", "application/json")], body).into_response()
}
